"""From a Keras model to an hls4ml model: thin layers over hls4ml's own converter, with its argument names."""

from __future__ import annotations

import os
from pathlib import Path

from hls4ml_ext.errors import ConversionError, ProjectError, SettingsError, plain, shown
from hls4ml_ext.settings import (
    DEFAULT_PART,
    DEFAULT_PRECISION,
    Arguments,
    ConfigArguments,
    LayerConfig,
    check_arguments,
    check_backend,
)

PROJECT_MARK = 'hls4ml_config.yml'
"""The file by which a directory is known to be an hls4ml project."""

DEFAULTS = {'io_type': 'io_stream', 'part': DEFAULT_PART}
"""Where our defaults are not hls4ml's."""


def config_from_model(model, granularity: str = 'name', backend: str = 'Vitis', default_reuse_factor: int = 1) -> dict:
    """An ``hls_config`` for a Keras model, to inspect and to tune.

    It holds no precisions: each type comes from the quantizers of the model. Layers within an ODE block are listed as
    ``'block.layer'``, and the parts of an attention layer as ``'layer.part'``.

    Args:
        model: A built Keras model.
        granularity: 'name' lists every layer, 'model' only has settings for all of them.
        backend: 'Vitis', 'Vivado' or 'RTL'.
        default_reuse_factor: ReuseFactor of each layer; the nearest smaller one that divides a layer is used.

    Returns:
        ``{'Model': {...}, 'LayerName': {name: {'ReuseFactor': int, ...}}}``; keys of a layer, as far as it reads them:
        ``ReuseFactor``, ``SIMD`` and ``PE`` (setting one of the three takes out what it makes obsolete),
        ``WeightStorage`` ('auto', 'bram', 'lutram'), ``MultImpl`` ('auto', 'dsp', 'lut'), ``StateStorage``, ``Trace``.

    Raises:
        ConversionError: if the model can't be converted exactly.

    Example::

        hls_config = hls4ml_ext.config_from_model(model)
        hls_config['LayerName']['ode1.pw1']['ReuseFactor'] = 16
        hls_model = hls4ml_ext.convert(model, hls_config=hls_config, output_dir='my-project')
    """
    check_arguments(ConfigArguments, {'granularity': granularity, 'default_reuse_factor': default_reuse_factor})
    backend = check_backend(backend)
    check_model(model)
    config = _with_defaults({'Model': {'ReuseFactor': plain(default_reuse_factor)}})
    if granularity == 'name':
        graph = _convert(model, {'output_dir': 'unwritten', 'backend': backend, **DEFAULTS}, config)
        config['LayerName'] = {name: layer for node in graph.get_layers() for name, layer in _layer_configs(node)}
    return config


def _with_defaults(hls_config: dict) -> dict:
    """An ``hls_config`` with what hls4ml and the exact graph want to be in it."""
    model = {'Precision': DEFAULT_PRECISION, 'ReuseFactor': 1, **hls_config.get('Model', {}), 'Exact': True}
    return {**hls_config, 'Model': model}


def _given(settings):
    """Settings without those that are None, the default."""
    if not isinstance(settings, dict):
        return settings
    return {key: _given(value) for key, value in settings.items() if value is not None}


def _layer_configs(node):
    from hls4ml_ext.layers.core import ExactLayer

    if not isinstance(node, ExactLayer) or node.inserted:
        return
    yield node.layer_name, LayerConfig(Trace=False, **node.settings)
    for inner in node.inner_layers():
        yield from _layer_configs(inner)


def convert(
    model,
    output_dir='my-hls-test',
    project_name='myproject',
    backend='Vitis',
    io_type='io_stream',
    part=DEFAULT_PART,
    hls_config=None,
    **kwargs,
):
    """Converts a Keras model to an hls4ml model whose simulation, of C++ or RTL, equals Keras bit for bit.

    Nothing is written before ``hls_model.write()`` or ``hls_model.compile()``.

    Args:
        model: A built Keras model: functional or Sequential, of QKeras layers, layers of hls4ml-ext and those of Keras that
            need no arithmetic beyond integers (see the support matrix in the README).
        output_dir: Directory of the HLS project: a new or empty one, or an hls4ml project, which will be overwritten.
        project_name: Name of the HLS project and of its top function.
        backend: 'Vitis', 'Vivado', or 'RTL' for SystemVerilog, which has no use for the arguments of C++: they are refused.
        io_type: 'io_stream', or 'io_parallel' for small models (not in RTL).
        part: The FPGA.
        hls_config: Settings, for instance from :func:`config_from_model`.
        kwargs: As hls4ml has them: ``clock_period`` (ns), ``clock_uncertainty``, ``namespace``, ``version``,
            ``input_data_tb`` and ``output_data_tb`` (``.npy`` or ``.dat`` files for the C test bench), ``tb_output_stream``
            ('stdout', 'file', 'both'), ``write_weights_txt``, ``write_tar``, ``write_emulation_constants``.

    Returns:
        hls4ml.model.ModelGraph: with ``compile``, ``predict``, ``trace``, ``write``, ``build`` as ever.

    Raises:
        ConversionError: naming the layer, the value and the remedy, where no exact hardware exists.
        PrecisionError: where Keras's floats can't hold a sum exactly.
        SettingsError: if an argument is unknown or impossible, or `hls_config` sets something that nothing reads.
        ProjectError: if `output_dir` can't be used.

    Example::

        hls_model = hls4ml_ext.convert(model, output_dir='my-project')
        hls_model.compile()
        assert (hls_model.predict(x) == hls4ml_ext.predict(model, x)).all()
    """
    output_dir = 'my-hls-test' if output_dir is None else output_dir
    if isinstance(output_dir, (str, os.PathLike)):
        check_output_dir(output_dir)
    given = {'output_dir': output_dir, 'project_name': project_name, 'io_type': io_type, 'part': part, **kwargs}
    # As in hls4ml, None is the default.
    given = {**DEFAULTS, **_given(plain(given))}
    given['backend'] = check_backend(backend)
    hls_config = _given(plain({} if hls_config is None else hls_config))
    arguments = check_arguments(Arguments, {**given, 'hls_config': hls_config})
    check_model(model)
    given = {key: getattr(arguments, key) for key in given}  # numbers, not strings that look like one
    given['output_dir'] = str(Path(output_dir).absolute())
    return _convert(model, given, _with_defaults(hls_config))


def _convert(model, arguments: dict, hls_config: dict):
    """Converts `model`.

    Args:
        arguments: Those of :func:`convert` for hls4ml.
        hls_config: With its defaults.
    """
    import keras
    from hls4ml.utils.config import create_config

    from hls4ml_ext import plugin
    from hls4ml_ext.graph import graph_class
    from hls4ml_ext.layers.core.builder import functional_of

    plugin.register()  # hls4ml only prints a line if it fails
    if keras.backend.backend() != 'tensorflow':
        raise ConversionError(
            model.name,
            f'Keras runs on {keras.backend.backend()!r}, but hls4ml reads models on the TensorFlow backend',
            'Save the model, and convert it in a process with KERAS_BACKEND=tensorflow',
        )
    functional = functional_of(model)
    # As hls4ml's converter, but for its parser: the exact graph comes from the Keras model itself, and the parser fails on
    # models that it can't read, such as nested ones. It gets the inputs, and a placeholder for each output.
    test_bench = {key: arguments.pop(key, None) for key in ('input_data_tb', 'output_data_tb')}
    config = create_config(**arguments)
    config['KerasModel'] = model
    config['InputData'], config['OutputPredictions'] = test_bench.values()
    config['HLSConfig'] = plain(hls_config)
    config['HLSConfig']['Model']['BitExact'] = False
    inputs = [f'input{i}' for i in range(len(functional.inputs))]
    outputs = [f'output{i}' for i in range(len(functional.outputs))]
    layers = [{'class_name': 'InputLayer', 'name': name, 'input_shape': [1]} for name in inputs]
    layers += [
        {'class_name': 'ExtPlaceholder', 'name': name, 'inputs': inputs, 'out_shape': [1], 'module': __name__}
        for name in outputs
    ]
    return graph_class(config['Backend']).from_layer_list(config, layers, inputs, outputs)


def check_model(model):
    """Raises :class:`SettingsError` unless `model` is a Keras model."""
    if isinstance(model, (str, os.PathLike)):
        path = os.fspath(model)
        raise SettingsError('model', f'is a path, {path!r}', f'Load it first: model = hls4ml_ext.load_model({path!r})')
    import keras

    if not isinstance(model, keras.Model):
        kind = f'{type(model).__module__}.{type(model).__qualname__}'
        what = 'None' if model is None else f'{shown(model)}, of class {kind}'
        raise SettingsError('model', f'is {what}', 'Give a keras.Model of Keras 3')


def check_output_dir(output_dir):
    """Raises :class:`ProjectError` unless a project may be written to `output_dir`."""
    path = Path(output_dir).absolute()
    strange = sorted({c for c in str(path) if c in '\\"' or not c.isprintable()})
    if strange:
        raise ProjectError(
            f"output directory '{path}' has {strange[0]!r} in its name, which C++ doesn't take as it is. Choose another one"
        )
    if path.exists() and not path.is_dir():
        raise ProjectError(f"output directory '{output_dir}' is a file. Choose another one")
    if path.is_dir() and any(path.iterdir()) and not (path / PROJECT_MARK).is_file():
        raise ProjectError(
            f"output directory '{output_dir}' has files in it and is not an hls4ml project (no {PROJECT_MARK}). "
            'Choose another one, or empty it yourself'
        )
    parent = path
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise ProjectError(f"output directory '{output_dir}' can't be made: '{parent}' is a file. Choose another one")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ProjectError(
            f"output directory '{output_dir}' can't be written: no permission for '{parent}'. Choose another one"
        )
