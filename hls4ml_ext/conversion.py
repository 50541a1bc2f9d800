"""From a Keras model to an hls4ml model: thin layers over hls4ml's own converter, with its argument names."""

from __future__ import annotations

import copy
import os
from pathlib import Path

from hls4ml_ext.errors import ConversionError, ProjectError

PROJECT_MARK = 'hls4ml_config.yml'
"""The file by which a directory is known to be an hls4ml project."""

DEFAULT_PART = 'xczu7ev-ffvc1156-2-e'
"""The FPGA of the ZCU104."""


def config_from_model(model, granularity: str = 'name', backend: str = 'Vitis', default_reuse_factor: int = 1) -> dict:
    """An ``hls_config`` for a Keras model, to inspect and to tune.

    It holds no precisions: each type comes from the quantizers of the model. Layers within an ODE block are listed as
    ``'block.layer'``, and the parts of an attention layer as ``'layer.part'``.

    Args:
        model: A built Keras model.
        granularity: 'name' lists every layer, 'model' only has settings for all of them.
        backend: 'Vitis' or 'Vivado'.
        default_reuse_factor: ReuseFactor of each layer; the nearest smaller one that divides a layer is used.

    Returns:
        ``{'Model': {...}, 'LayerName': {name: {'ReuseFactor': int, ...}}}``; keys of a layer: ``ReuseFactor``,
        ``WeightStorage`` ('auto', 'bram', 'lutram'), ``MultImpl`` ('auto', 'dsp', 'lut'), ``Trace``.

    Raises:
        ConversionError: if the model can't be converted exactly.

    Example::

        hls_config = hls4ml_ext.config_from_model(model)
        hls_config['LayerName']['ode1.pw1']['ReuseFactor'] = 16
        hls_model = hls4ml_ext.convert(model, hls_config=hls_config, output_dir='my-project')
    """
    if granularity not in ('name', 'model'):
        raise ConversionError(model.name, f'granularity is {granularity!r}', "Use 'name' or 'model'")
    config = {'Model': {'Precision': 'fixed<16,6>', 'ReuseFactor': default_reuse_factor, 'Exact': True}}
    if granularity == 'name':
        graph = _convert(model, 'unwritten', 'myproject', backend, 'io_stream', DEFAULT_PART, config)
        config['LayerName'] = {name: layer for node in graph.get_layers() for name, layer in _layer_configs(node)}
    return config


def _layer_configs(node):
    from hls4ml_ext.layers.core import ExactLayer

    if not isinstance(node, ExactLayer) or node.inserted:
        return
    yield node.layer_name, {'Trace': False, **node.settings}
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
    """Converts a Keras model to an hls4ml model whose C simulation equals Keras bit for bit.

    Nothing is written before ``hls_model.write()`` or ``hls_model.compile()``.

    Args:
        model: A built Keras model: functional or Sequential, of QKeras layers, layers of hls4ml-ext and those of Keras that
            need no arithmetic beyond integers (see the support matrix in the README).
        output_dir: Directory of the HLS project: a new or empty one, or an hls4ml project, which will be overwritten.
        project_name: Name of the HLS project and of its top function.
        backend: 'Vitis' or 'Vivado'.
        io_type: 'io_stream', or 'io_parallel' for small models.
        part: The FPGA.
        hls_config: Settings, for instance from :func:`config_from_model`.
        kwargs: Passed on to ``hls4ml.converters.convert_from_keras_model`` (clock_period, namespace, ...).

    Returns:
        hls4ml.model.ModelGraph: with ``compile``, ``predict``, ``trace``, ``write``, ``build`` as ever.

    Raises:
        ConversionError: naming the layer, the value and the remedy, where no exact hardware exists.
        PrecisionError: where Keras's floats can't hold a sum exactly.
        ProjectError: if `output_dir` can't be used.

    Example::

        hls_model = hls4ml_ext.convert(model, output_dir='my-project')
        hls_model.compile()
        assert (hls_model.predict(x) == hls4ml_ext.predict(model, x)).all()
    """
    check_output_dir(output_dir)
    hls_config = copy.deepcopy(hls_config) if hls_config else {}
    hls_config['Model'] = {**(hls_config.get('Model') or {}), 'Exact': True}
    hls_config['Model'].setdefault('Precision', 'fixed<16,6>')
    hls_config['Model'].setdefault('ReuseFactor', 1)
    return _convert(model, str(output_dir), project_name, backend, io_type, part, hls_config, **kwargs)


def _convert(model, output_dir, project_name, backend, io_type, part, hls_config, **kwargs):
    import keras
    from hls4ml.utils.config import create_config

    from hls4ml_ext import plugin
    from hls4ml_ext.graph import ExactModelGraph
    from hls4ml_ext.layers.core.builder import functional_of
    from hls4ml_ext.names import is_safe
    from hls4ml_ext.passes.exact_graph import BACKENDS

    plugin.register()  # hls4ml only prints a line if it fails
    if keras.backend.backend() != 'tensorflow':
        raise ConversionError(
            model.name,
            f'Keras runs on {keras.backend.backend()!r}, but hls4ml reads models on the TensorFlow backend',
            'Save the model, and convert it in a process with KERAS_BACKEND=tensorflow',
        )
    if io_type not in ('io_stream', 'io_parallel'):
        raise ConversionError(model.name, f'io_type is {io_type!r}', "Use 'io_stream' or 'io_parallel'")
    if str(backend).lower() not in [b.lower() for b in BACKENDS]:
        raise ConversionError(model.name, f'backend is {backend!r}', f'Use one of {", ".join(BACKENDS)}')
    if not isinstance(project_name, str) or not is_safe(project_name):
        raise ConversionError(model.name, f'project_name is {project_name!r}', 'Use a name that C++ and Verilog accept')
    functional = functional_of(model)
    known = {name.replace('/', '.') for name in hls_config.get('LayerName') or {}}
    # As hls4ml's converter, but for its parser: the exact graph comes from the Keras model itself, and the parser fails on
    # models that it can't read, such as nested ones. It gets the inputs, and a placeholder for each output.
    config = create_config(
        output_dir=output_dir, project_name=project_name, backend=backend, io_type=io_type, part=part,
        **{key: value for key, value in kwargs.items() if key not in ('input_data_tb', 'output_data_tb')},
    )  # fmt: skip
    config['KerasModel'] = model
    config['InputData'], config['OutputPredictions'] = kwargs.get('input_data_tb'), kwargs.get('output_data_tb')
    config['HLSConfig'] = copy.deepcopy(hls_config)
    config['HLSConfig']['Model']['BitExact'] = False
    inputs = [f'input{i}' for i in range(len(functional.inputs))]
    outputs = [f'output{i}' for i in range(len(functional.outputs))]
    layers = [{'class_name': 'InputLayer', 'name': name, 'input_shape': [1]} for name in inputs]
    layers += [
        {'class_name': 'ExtPlaceholder', 'name': name, 'inputs': inputs, 'out_shape': [1], 'module': __name__}
        for name in outputs
    ]
    graph = ExactModelGraph.from_layer_list(config, layers, inputs, outputs)
    unknown = (
        known
        - {name for node in graph.get_layers() for name, _ in _layer_configs(node)}
        - {n.name for n in graph.get_layers()}
    )
    unknown -= {layer.name for layer in model.layers}  # fused into another one, or without hardware
    if unknown:
        names = ', '.join(name for node in graph.get_layers() for name, _ in _layer_configs(node))
        raise ConversionError(
            sorted(unknown)[0], 'hls_config sets it, but the model has no such layer', f'Use one of {names}'
        )
    return graph


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
    if not os.access(parent, os.W_OK | os.X_OK):
        raise ProjectError(
            f"output directory '{output_dir}' can't be written: no permission for '{parent}'. Choose another one"
        )
