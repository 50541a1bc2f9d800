"""hls4ml with us installed: its own models are left alone, its own functions work on ours."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import keras
import numpy as np
import pytest
import yaml
from exactness import INPUT, assert_exact, branches, convert, images, quietly, randomize
from qkeras import QActivation, QConv2D, QDense

import hls4ml_ext

W, B = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(8,2,alpha=1)'


def python(code: str, *arguments, **environment) -> str:
    """Runs Python code in a new process; returns what it prints."""
    command = [sys.executable, '-c', textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def small():
    x = inputs = keras.Input((6, 5, 3), name='image')
    x = QActivation(INPUT, name='q')(x)
    x = QConv2D(4, 3, kernel_quantizer=W, bias_quantizer=B, name='c1')(x)
    x = QActivation('quantized_bits(6,2,alpha=1)', name='a1')(x)
    x = keras.layers.Flatten(name='f')(x)
    x = QDense(3, kernel_quantizer=W, bias_quantizer=B, name='d')(x)
    return randomize(keras.Model(inputs, x, name='small'))


# ---------------------------------------------------------------------------------------------------------------------
# The plugin
# ---------------------------------------------------------------------------------------------------------------------


def test_importing_hls4ml_loads_the_plugin_but_not_keras():
    loaded = python("""
        import sys, hls4ml
        from hls4ml.model.layers import layer_map
        print('ExactConv2D' in layer_map, [m for m in ('keras', 'tensorflow', 'qkeras', 'sklearn') if m in sys.modules])
    """)
    assert loaded.splitlines()[-1] == 'True []'
    assert 'WARNING' not in loaded


def test_importing_hls4ml_ext_loads_neither():
    loaded = python("""
        import sys, hls4ml_ext
        print([m for m in ('keras', 'tensorflow', 'qkeras') if m in sys.modules])
    """)
    assert loaded.strip() == '[]'


WITHOUT_PLUGIN = """
    import importlib.metadata, sys
    if sys.argv[2] == 'without':
        found = importlib.metadata.entry_points
        class Nothing:
            def select(self, **kwargs):
                assert kwargs == {'group': 'hls4ml.backends'}
                return []
        importlib.metadata.entry_points = lambda *a, **k: found(*a, **k) if a or k else Nothing()
    import hls4ml
    importlib.metadata.entry_points = found if sys.argv[2] == 'without' else importlib.metadata.entry_points
    from hls4ml.model.layers import layer_map
    assert ('ExactConv2D' in layer_map) == (sys.argv[2] == 'with')
    import keras
    keras.utils.set_random_seed(1)
"""

STOCK_MODELS = {
    'keras': """
    layers = keras.layers
    x = i = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation='relu', name='c')(x)
    x = layers.BatchNormalization(name='b')(x)
    y = layers.DepthwiseConv2D(3, padding='same', name='d')(x)
    x = layers.Add(name='add')([x, y])
    x = layers.MaxPooling2D(2, name='p')(x)
    x = layers.Flatten(name='f')(x)
    x = layers.Dense(5, activation='softmax', name='o')(x)
    """,
    'qkeras_functions': """
    from qkeras import *
    Q = 'quantized_bits(4,0,alpha=1)'
    x = i = keras.Input((8, 8, 3))
    x = QConv2D(4, 3, kernel_quantizer=Q, bias_quantizer=Q, activation='relu', name='c')(x)
    x = QDepthwiseConv2D(3, depthwise_quantizer=Q, bias_quantizer=Q, name='dw')(x)
    x = keras.layers.Activation('relu', name='r')(x)
    x = keras.layers.Flatten(name='f')(x)
    x = QDense(5, kernel_quantizer=Q, bias_quantizer=Q, activation='softmax', name='o')(x)
    """,
}


def files(project: Path) -> dict[str, bytes]:
    """The files of a project, without the names of libraries that differ each time."""
    found = {}
    for path in sorted(p for p in project.rglob('*') if p.is_file()):
        if path.suffix not in ('.keras', '.so') and path.name != 'hls4ml_config.yml':
            lines = path.read_bytes().splitlines()
            found[str(path.relative_to(project))] = [
                line for line in lines if b'LIB_STAMP=' not in line and bytes(project) not in line
            ]
    return found


@pytest.mark.parametrize('io_type', ['io_parallel', 'io_stream'])
@pytest.mark.parametrize('stock', list(STOCK_MODELS))
def test_stock_projects_are_the_same_with_and_without_us(stock, io_type, tmp_path):
    code = (
        WITHOUT_PLUGIN
        + STOCK_MODELS[stock]
        + f"""
    model = keras.Model(i, x)
    config = hls4ml.utils.config_from_keras_model(model, granularity='name', backend='Vitis')
    hls4ml.converters.convert_from_keras_model(
        model, hls_config=config, output_dir=sys.argv[1], backend='Vitis', io_type='{io_type}', allow_da_fallback=False
    ).write()
    """
    )
    written = {}
    for plugin in ('with', 'without'):
        python(code, tmp_path / plugin, plugin)
        written[plugin] = files(tmp_path / plugin)
    ours = {name for name in written['with'] if '_ext.h' in name or 'sliding_window' in name}
    assert set(written['with']) - set(written['without']) == ours  # headers that are there, and that nothing includes
    assert {k: v for k, v in written['with'].items() if k not in ours} == written['without']


def test_stock_conversion_of_quantized_layers_still_compiles_and_is_exact(tmp_path):
    """The stock API, which used to stumble over QActivation, with quantized_relu only: exact without any help."""
    import hls4ml

    x = inputs = keras.Input((6, 5, 3), name='image')
    x = QActivation('quantized_relu(8,0)', name='q')(x)
    x = QConv2D(4, 3, kernel_quantizer=W, bias_quantizer=W, name='c1')(x)
    x = QActivation('quantized_relu(6,2)', name='a1')(x)
    x = QDense(3, kernel_quantizer=W, bias_quantizer=W, name='d')(keras.layers.Flatten(name='f')(x))
    model = randomize(keras.Model(inputs, x))
    config = quietly(hls4ml.utils.config_from_keras_model, model, granularity='name', backend='Vitis')
    hls_model = quietly(
        hls4ml.converters.convert_from_keras_model,
        model, hls_config=config, output_dir=str(tmp_path / 'p'), backend='Vitis', io_type='io_stream',
        allow_da_fallback=False,
    )  # fmt: skip
    quietly(hls_model.compile)
    x = np.clip(np.rint(images((6, 5, 3), 4) * 256), 0, 255) / 256  # stock hls4ml truncates an input that is off its grid
    x = x.astype(np.float32)
    assert (hls_model.predict(x) == model.predict(x, verbose=0)).all()


def test_dropped_signed_quantizer(tmp_path):
    """Stock hls4ml drops quantized_bits behind a convolution; we don't."""
    import hls4ml

    model = small()
    x = images((6, 5, 3), 4)[:24]
    expected = model.predict(x, verbose=0)
    config = quietly(hls4ml.utils.config_from_keras_model, model, granularity='name', backend='Vitis')
    stock = quietly(
        hls4ml.converters.convert_from_keras_model,
        model, hls_config=config, output_dir=str(tmp_path / 'stock'), backend='Vitis', io_type='io_stream',
        allow_da_fallback=False,
    )  # fmt: skip
    quietly(stock.compile)
    assert (stock.predict(x) != expected).mean() > 0.5
    ours = convert(model, tmp_path / 'ours')
    quietly(ours.compile)
    assert (ours.predict(x) == expected).all()


def test_stock_api_converts_exactly_if_it_is_asked_to(tmp_path):
    """``Exact: True`` in the hls_config is all that hls4ml_ext.convert adds."""
    import hls4ml

    model = small()
    hls_model = quietly(
        hls4ml.converters.convert_from_keras_model,
        model, hls_config={'Model': {'Exact': True}}, output_dir=str(tmp_path / 'p'), backend='Vitis', io_type='io_stream',
        allow_da_fallback=False,
    )  # fmt: skip
    assert_exact(model, hls_model, images((6, 5, 3), 2))


def test_stock_api_refuses_layers_that_only_the_exact_graph_has(tmp_path):
    import hls4ml
    from qkeras import QGlobalAveragePooling2D

    pool = QGlobalAveragePooling2D(average_quantizer='quantized_bits(8,-4,alpha=1)', name='pool')
    with pytest.raises(
        hls4ml_ext.ConversionError, match="layer 'pool': stock hls4ml has no QGlobalAveragePooling2D. Convert the model with"
    ):
        quietly(
            hls4ml.converters.convert_from_keras_model,
            branches((4, 5, 3), {'p': pool}), hls_config={}, output_dir=str(tmp_path / 'p'),
            backend='Vitis', allow_da_fallback=False,
        )  # fmt: skip


# ---------------------------------------------------------------------------------------------------------------------
# hls4ml's functions on our models
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.stock_compiler
@pytest.mark.parametrize('backend', ['Vitis', 'Vivado'])
@pytest.mark.parametrize('io_type', ['io_stream', 'io_parallel'])
def test_predict_and_trace_with_stock_compilation(backend, io_type, tmp_path):
    model = small()
    hls_model = convert(model, tmp_path / 'p', io_type, backend)
    hls4ml_ext.compile(hls_model)
    x = images((6, 5, 3), 2)
    expected = model.predict(x, verbose=0)
    assert (hls_model.predict(x) == expected).all()
    assert (hls_model.predict(x.astype(np.float64)) == expected).all()
    assert (hls_model.predict(x[:1]) == expected[0]).all()
    for node in hls_model.get_layers():
        node.set_attr('trace', node.name in ('c1', 'd'))
    y, trace = quietly(hls_model.trace, x)
    assert (y == expected).all()
    assert (trace['d'] == expected).all()
    assert (trace['c1'] == keras.Model(model.inputs, model.get_layer('a1').output).predict(x, verbose=0)).all()


@pytest.mark.parametrize('io_type', ['io_stream', 'io_parallel'])
def test_serialized_models_come_back(io_type, tmp_path):
    from hls4ml.utils.serialization import deserialize_model, serialize_model

    model = small()
    hls_model = convert(model, tmp_path / 'p', io_type, reuse=2)
    quietly(hls_model.compile)
    x = images((6, 5, 3), 2)
    serialize_model(hls_model, tmp_path / 'saved.fml')
    again = quietly(deserialize_model, tmp_path / 'saved.fml', output_dir=str(tmp_path / 'again'))
    quietly(again.compile)
    expected = model.predict(x, verbose=0)
    assert (hls_model.predict(x) == expected).all()
    assert (again.predict(x) == expected).all()
    assert [n.name for n in again.get_layers()] == [n.name for n in hls_model.get_layers()]


def test_namespace_and_project_name(tmp_path):
    model = small()
    hls_model = convert(model, tmp_path / 'p', namespace='deep', project_name='top')
    quietly(hls_model.write)
    assert 'namespace deep' in (tmp_path / 'p/firmware/top.cpp').read_text()
    assert_exact(model, hls_model, images((6, 5, 3), 2), hardware_integers=True)


def test_options_are_passed_on(tmp_path):
    hls_model = convert(small(), tmp_path / 'p', part='xck26-sfvc784-2LV-c', clock_period=4)
    quietly(hls_model.write)
    settings = yaml.safe_load(
        (tmp_path / 'p/hls4ml_config.yml').read_text().replace('!keras_model', '').replace('!!python/tuple', '')
    )
    assert settings['Part'] == 'xck26-sfvc784-2LV-c'
    assert settings['ClockPeriod'] == 4


def test_test_bench_data(tmp_path):
    """Input and output data for the C test bench, as hls4ml takes them."""
    model = small()
    x = images((6, 5, 3), 1)
    np.save(tmp_path / 'x.npy', x)
    np.save(tmp_path / 'y.npy', model.predict(x, verbose=0))
    hls_model = convert(model, tmp_path / 'p', input_data_tb=str(tmp_path / 'x.npy'), output_data_tb=str(tmp_path / 'y.npy'))
    quietly(hls_model.write)
    assert len((tmp_path / 'p/tb_data/tb_input_features.dat').read_text().splitlines()) == len(x)


def test_the_command_of_hls4ml(tmp_path):
    """``hls4ml convert -c config.yml`` on a saved model."""
    small().save(tmp_path / 'small.keras')
    config = {
        'KerasModel': str(tmp_path / 'small.keras'),
        'OutputDir': str(tmp_path / 'p'),
        'ProjectName': 'myproject',
        'Backend': 'Vitis',
        'Part': 'xczu7ev-ffvc1156-2-e',
        'ClockPeriod': 5,
        'IOType': 'io_stream',
        'HLSConfig': {'Model': {'Precision': 'fixed<16,6>', 'ReuseFactor': 2, 'Exact': True}},
    }
    text = yaml.safe_dump(config).replace('KerasModel:', 'KerasModel: !keras_model')
    (tmp_path / 'config.yml').write_text(text)
    code = "import qkeras, sys; from hls4ml.cli import main; sys.argv = ['hls4ml', 'convert', '-c', sys.argv[1]]; main()"
    python(code, tmp_path / 'config.yml')
    assert 'nnet::ext::matvec' in (tmp_path / 'p/firmware/parameters.h').read_text()


def test_weights_are_written_exactly(tmp_path):
    """Fine biases and kernels survive the decimal text files."""
    layer = QConv2D(
        4, 1, kernel_quantizer='quantized_bits(9,-9,alpha=1)', bias_quantizer='quantized_bits(12,-8,alpha=1)', name='c'
    )
    model = branches((3, 3, 2), {'c': layer})
    for weight in model.weights:
        if weight.trainable:
            weight.assign(np.asarray(weight) * 2**-8)
    assert_exact(model, convert(model, tmp_path / 'p'), images((3, 3, 2), 3))


def test_config_from_model():
    model = small()
    config = hls4ml_ext.config_from_model(model, default_reuse_factor=6)
    assert config['Model']['ReuseFactor'] == 6
    assert config['LayerName']['c1'] == {
        'Trace': False, 'ReuseFactor': 6, 'SIMD': 9, 'PE': 2, 'WeightStorage': 'auto', 'MultImpl': 'auto'
    }  # fmt: skip
    assert list(config['LayerName']) == ['c1', 'd']
    json.dumps(config)
    assert not Path('unwritten').exists()
