"""Any name of a layer or an input converts; the user sees his own names, and C++ and Verilog get names that they accept."""

import subprocess

import cpp
import hypothesis.strategies as st
import keras
import pytest
from exactness import INPUT, assert_exact, assert_outputs_equal, convert, images, quietly, randomize
from hypothesis import example, given
from pygments.lexer import words
from pygments.lexers.hdl import SystemVerilogLexer, VhdlLexer
from pygments.token import Keyword
from qkeras import QActivation, QConv2D

import hls4ml_ext
from hls4ml_ext.names import VERILOG, VHDL, Names, is_safe

W, B = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(8,2,alpha=1)'

LAYERS = [
    # attributes of nodes
    'weights', 'biases', 'reuse_factor', 'config_cpp', 'include_header', 'mult_impl', 'out_shape', 'output_of', 'index',
    'trace', 'result_t', 'weight', 'bias_t', 'layer_name', 'identifier', 'name', 'variables', 'n_out',
    # names that hls4ml gives
    'input', 'clone_group1', 'conv_cpy1', 'layer2_out', 'group1_cpy1', '__hls4ml_reserved_out_a',
    # words of C++, and characters that TensorFlow accepts
    'class', 'NULL', 'A', 'a', 'q->r', '3x3', 'a.b-c',
]  # fmt: skip

INPUTS = [
    'input', 'output', 'reuse_factor', 'NULL', 'errno', 'EOF', 'INFINITY', 'layer2_out', 'name', 'index', 'trace', 'input_t',
    'result_t', 'w2', 'config3', 'in', 'e', 'i', 'pr', 'nnet', 'std', 'hls', 'myproject', 'class', 'image', 'Image', 'a_b',
    'a-b', 'a_ap', 'a',
]  # fmt: skip


def conv(name):
    return QConv2D(1, 1, kernel_quantizer=W, bias_quantizer=B, name=name)


def many_layers():
    inputs = keras.Input((3, 3, 2), name='image')
    x = QActivation(INPUT, name='quantizer')(inputs)
    groups = [QActivation(INPUT, name=f'group{i}')(x) for i in range(-(-len(LAYERS) // 7))]
    return randomize(keras.Model(inputs, [conv(name)(groups[i // 7]) for i, name in enumerate(LAYERS)]))


def many_inputs(names):
    inputs = [keras.Input((2, 2, 1), name=name) for name in names]
    outputs = [conv(f'conv{i}')(QActivation(INPUT, name=f'q{i}')(x)) for i, x in enumerate(inputs)]
    return randomize(keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0]))


# ---------------------------------------------------------------------------------------------------------------------
# Whole models
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize('io_type', ['io_stream', 'io_parallel'])
def test_layers(io_type, tmp_path):
    model = many_layers()
    config = hls4ml_ext.config_from_model(model)
    assert set(LAYERS) < set(config['LayerName'])
    for name in LAYERS:
        config['LayerName'][name]['ReuseFactor'] = 2
    hls_model = convert(model, tmp_path / 'p', io_type, hls_config=config)
    compared = assert_exact(model, hls_model, images((3, 3, 2), 2))
    assert set(LAYERS) <= {c.layer for c in compared}
    nodes = {
        n.layer_name: n for n in hls_model.get_layers() if hasattr(n, 'layer_name') and not getattr(n, 'inserted', False)
    }
    assert all(nodes[name].reuse == 2 for name in LAYERS)
    renamed = {name for name in LAYERS if nodes[name].name != name}
    assert renamed == {'input', 'clone_group1', 'conv_cpy1', 'group1_cpy1'}
    identifiers = [n.identifier for n in nodes.values()]
    assert len({name.lower() for name in identifiers}) == len(identifiers)
    assert all(map(is_safe, identifiers))


@pytest.mark.parametrize('io_type', ['io_stream', 'io_parallel'])
def test_inputs(io_type, tmp_path):
    model = many_inputs(INPUTS)
    hls_model = convert(model, tmp_path / 'p', io_type)
    quietly(hls_model.compile)
    x = [images((2, 2, 1), 1, seed=i) for i in range(len(INPUTS))]
    assert_outputs_equal(hls_model, x, model.predict(x, verbose=0), hls_model.predict)
    ports = [v.name for v in hls_model.get_input_variables()]
    assert [p for p in ports if p in INPUTS] == ['reuse_factor', 'name', 'index', 'trace', 'image', 'a_b', 'a']
    test_bench = ['g++', '-std=c++14', '-fsyntax-only', f'-I{cpp.ap_types()}', 'myproject_test.cpp']
    cpp.run(test_bench, cwd=tmp_path / 'p')


def test_names_that_tensorflow_refuses(tmp_path):
    """They convert: another backend of Keras may have trained the model."""
    odd = ['a"b', 'a\\', 'what??', 'new\nline', '{index}', 'größe', '%s', "it's", ' ', '', '"', '\\']
    inputs = [keras.Input((2, 2, 1), name=name) for name in odd]
    layers = [conv(f'{name}!') for name in odd]
    outputs = [layer(QActivation(INPUT, name=f'q{i}')(x)) for i, (layer, x) in enumerate(zip(layers, inputs))]
    model = randomize(keras.Model(inputs, outputs))
    names = list(hls4ml_ext.config_from_model(model)['LayerName'])
    assert set(names) == {f'{name}!' for name in odd}
    hls_config = {'LayerName': {name: {'WeightStorage': 'bram', 'Trace': True} for name in names}}
    hls_model = convert(model, tmp_path / 'p', hls_config=hls_config)
    hls4ml_ext.compile(hls_model, trace=True)
    x = [images((2, 2, 1), 1, seed=i) for i in range(len(odd))]
    results, trace = quietly(hls_model.trace, x)
    for name, layer, result in zip(hls_model.outputs, layers, results, strict=True):
        node = hls_model.graph[name]
        assert (node.layer_name, node.get_attr('weight_storage'), node.get_attr('trace')) == (layer.name, 'bram', True)
        assert (trace[name].ravel() == result.ravel()).all()


def test_trace_has_the_names_of_the_user(tmp_path):
    hls_model = convert(many_layers(), tmp_path / 'p')
    hls4ml_ext.compile(hls_model, trace=True)
    trace = quietly(hls_model.trace, images((3, 3, 2), 1)[:2])[1]
    assert {'weights', 'config_cpp', 'q->r', 'class', 'layer2_out'} <= set(trace)


def test_names_within_a_block(tmp_path):
    """Names that are one identifier in different graphs, and an inner input called as keywords are."""
    state = 'quantized_bits(8,1,alpha=1)'
    inner = z = keras.Input((3, 3, 1), name='input')
    for i, name in enumerate(('weights', 'b', 'out_shape')):
        z = QActivation('quantized_bits(6,1,alpha=1)', name=f'q{i}')(conv(name)(z))
    inputs = keras.Input((3, 3, 1), name='ode_b')
    x = QActivation(state, name='q')(inputs)
    x = hls4ml_ext.ODEBlock(keras.Model(inner, z), n_steps=2, state_quantizer=state, name='ode')(x)
    model = randomize(keras.Model(inputs, conv('ode_weights')(x)))
    hls_config = {'LayerName': {'ode.weights': {'WeightStorage': 'bram'}, 'ode': {'StateStorage': 'bram'}}}
    hls_model = convert(model, tmp_path / 'p', hls_config=hls_config)
    assert_exact(model, hls_model, images((3, 3, 1), 3, state))
    block = hls_model.graph['ode']
    assert [n.layer_name for n in block.inner_layers()] == ['ode.weights', 'ode.b', 'ode.out_shape']
    assert block.inner_layers()[1].identifier == 'layer_ode_b'
    assert block.inner_layers()[0].get_attr('weight_storage') == 'bram'


def test_serialized_models_keep_names(tmp_path):
    from hls4ml.utils.serialization import deserialize_model, serialize_model

    inputs = keras.Input((3, 3, 1), name='input')
    x = QActivation('quantized_bits(6,1,alpha=1)', name='a')(conv('weights')(QActivation(INPUT, name='q')(inputs)))
    model = randomize(keras.Model(inputs, conv('out_shape')(x)))
    hls_model = convert(model, tmp_path / 'p')
    serialize_model(hls_model, tmp_path / 'saved.fml')
    again = quietly(deserialize_model, tmp_path / 'saved.fml', output_dir=str(tmp_path / 'again'))
    assert [n.layer_name for n in again.get_layers() if hasattr(n, 'layer_name')] == ['input', 'weights', 'out_shape']
    quietly(again.compile)
    x = images((3, 3, 1), 2)
    assert (again.predict(x) == model.predict(x, verbose=0).reshape(len(x), -1)).all()


def test_two_layers_of_one_name(tmp_path):
    inputs = keras.Input((2, 2, 1))
    x = QActivation(INPUT, name='q')(inputs)
    attention = hls4ml_ext.MultiHeadSelfAttention2D(
        1, 1, kernel_quantizer=W, bias_quantizer=B, qkv_quantizer=INPUT, name='mhsa'
    )
    model = keras.Model(inputs, QConv2D(1, 1, kernel_quantizer=W, bias_quantizer=B, name='mhsa.out')(attention(x)))
    with pytest.raises(hls4ml_ext.ConversionError, match="layer 'mhsa.out': two layers have this name. Rename one of them"):
        convert(model, tmp_path / 'p')


# ---------------------------------------------------------------------------------------------------------------------
# The functions
# ---------------------------------------------------------------------------------------------------------------------


@given(st.lists(st.text(max_size=8) | st.from_regex(r'(?a)[a-z]{1,2}[_.]?[A-Z0-9]?(_t)?', fullmatch=True), max_size=20))
@example(['A', 'a', 'A', 'a_2', 'input_a', ''])
def test_names_are_safe_and_unique(names):
    given_out = Names('myproject')
    identifiers = [given_out.identifier(name, 'input') for name in names]
    assert all(map(is_safe, identifiers))
    assert len({'myproject', *map(str.lower, identifiers)}) == len(names) + 1
    labels = [given_out.label(name, 'layer') for name in names]
    assert len(set(labels)) == len(labels)
    assert all(label.isprintable() and not set(label) & set('"\\?') for label in labels)


@pytest.mark.parametrize('name', ['image', 'input_1', 'input_layer', 'keras_tensor', 'ode1', 'conv2d_3', 'x', 'X', 'inputs'])
def test_ordinary_names_stay(name):
    assert Names('myproject').identifier(name, 'input') == name
    assert Names('myproject').label(name, 'input') == name


def test_project_names_are_not_given_to_inputs():
    assert Names('top', 'deep').identifier('Top', 'input') == 'input_Top'
    assert Names('top', 'deep').identifier('deep', 'input') == 'input_deep'


def test_no_macro_is_a_name(tmp_path):
    """All macros that the sources of a project see, as the compiler lists them."""
    convert(many_inputs(['image']), tmp_path / 'p').write()
    found = set()
    for source in ('firmware/myproject.cpp', 'myproject_bridge.cpp', 'myproject_test.cpp'):
        for flags in (['-std=c++14'], ['-std=gnu++17']):
            command = ['g++', *flags, '-dM', '-E', f'-I{cpp.ap_types()}', '-DWEIGHTS_DIR="."', source]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path / 'p')
            found |= {line.split()[1].split('(')[0] for line in done.stdout.splitlines()}
    assert {'NULL', 'EOF', 'INFINITY', 'errno', 'stdin', 'AP_INT_MAX_W'} <= found
    assert [name for name in found if is_safe(name)] == []


def keywords(lexer) -> set[str]:
    """The words that Pygments, which did not take them from us, colours as keywords."""
    rules = [rule for state in lexer.tokens.values() for rule in state if isinstance(rule, tuple)]
    return {w for r in rules if isinstance(r[0], words) and r[1] is Keyword for w in r[0].words}


def test_keywords():
    assert keywords(SystemVerilogLexer) <= VERILOG
    assert keywords(VhdlLexer) <= VHDL
    assert not any(map(is_safe, (*VERILOG, *VHDL, 'reg', 'logic', 'concept', 'requires', 'Signal')))
