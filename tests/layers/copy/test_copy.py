"""Copies of a stream: any number of readers, outputs of the model, inside ODE blocks."""

import keras
import numpy as np
import pytest
from exactness import INPUT, ExactnessTest, assert_exact, branches, convert, images, quietly, randomize
from qkeras import QActivation, QConv2D

import hls4ml_ext
from hls4ml_ext.layers.copy.node import ExactCopy
from hls4ml_ext.layers.core.schedule import MIN_DEPTH

W = 'quantized_bits(3,0,alpha=1)'
STATE = 'quantized_bits(8,1,alpha=1)'


def conv(name, filters=2):
    return QConv2D(filters, 1, kernel_quantizer=W, use_bias=False, name=name)


def quantize(name):
    return QActivation(STATE, name=name)


def many(n):
    """n readers of one tensor."""
    return branches((3, 4, 2), {f'b{i}': conv(f'b{i}') for i in range(n)})


def outputs_with_readers():
    """Two tensors that are outputs of the model, and also read by layers."""
    inputs = keras.Input((3, 4, 2), name='image')
    a = quantize('a')(conv('c1')(QActivation(INPUT, name='q')(inputs)))
    b = keras.layers.Add(name='add')([quantize('b')(conv('c2')(a)), a])
    return randomize(keras.Model(inputs, [a, b, conv('c3')(b), conv('c4')(b)]))


def sums(x, n, name):
    """The sum of n convolutions of a tensor."""
    total = keras.layers.Add(name=f'{name}sum')([quantize(f'{name}q{i}')(conv(f'{name}c{i}')(x)) for i in range(n)])
    return quantize(f'{name}out')(total)


def inside_an_ode_block(n=9):
    """n readers of the state, and as many of a tensor within the dynamics."""
    state = keras.Input((3, 4, 2))
    dynamics = keras.Model(state, sums(sums(state, n, 'a'), n, 'b'))
    return branches((3, 4, 2), {'ode': hls4ml_ext.ODEBlock(dynamics, 2, state_quantizer=STATE, name='ode')}, STATE)


class TestCopies(ExactnessTest):
    models = {'9': lambda: many(9), 'outputs': outputs_with_readers}
    hardware_integers = True


class TestCopiesInAnODEBlock(ExactnessTest):
    models = {'9': inside_an_ode_block}
    quantizer = STATE


def copies_in(graph):
    return [n for n in graph.get_layers() if isinstance(n, ExactCopy)]


@pytest.mark.parametrize('backend', ['Vitis', 'Vivado'])
def test_hls4ml_copies_nothing(backend, tmp_path):
    hls_model = convert(outputs_with_readers(), tmp_path / 'p', backend=backend)
    assert not any(n.class_name == 'Clone' for n in hls_model.get_layers())
    assert {n.inputs[0]: len(n.outputs) for n in copies_in(hls_model)} == {'c1': 3, 'add': 3}
    assert hls_model.outputs[:2] == ['c1_cpy1', 'add_cpy1']
    read = [t for n in hls_model.get_layers() for t in n.inputs] + hls_model.outputs
    assert len(set(read)) == len(read)


def test_arrays_need_no_copies(tmp_path):
    assert copies_in(convert(many(9), tmp_path / 'p', 'io_parallel')) == []


def test_the_cpp_of_a_copy(tmp_path):
    hls_model = convert(many(3), tmp_path / 'p')
    quietly(hls_model.write)
    (node,) = copies_in(hls_model)
    text = (tmp_path / 'p/firmware/parameters.h').read_text()
    function = text[text.index(f'inline void copy{node.index}(') :].split('\n}\n')[0]
    assert function.count('hls::stream<input_t> &res') == 3
    assert f'for (int i = 0; i < {node.n_beats}; i++) {{\n        #pragma HLS PIPELINE II=1 style=flp\n' in function
    assert node.n_beats == node.cycles == 12
    assert 'clone_stream' not in (tmp_path / 'p/firmware/myproject.cpp').read_text()


def behind_lanes():
    """A tensor of 3 lanes that is an output and has readers: one takes its beats as they are, others repack them."""
    inputs = keras.Input((3, 4, 6), name='image')
    x = hls4ml_ext.QLayerNormalization(INPUT, name='norm')(QActivation(INPUT, name='q')(inputs))
    x = quantize('a')(x)
    y = [hls4ml_ext.QLayerNormalization(STATE, name=f'norm{n}')(x) for n in (3, 2, 1)]
    return randomize(keras.Model(inputs, [x, *y]))


SIMD = {'LayerName': {name: {'SIMD': n} for name, n in (('norm', 3), ('norm3', 3), ('norm2', 2), ('norm1', 1))}}


def test_a_copy_has_the_lanes_of_its_source(tmp_path):
    model = behind_lanes()
    hls_model = convert(model, tmp_path / 'p', hls_config=SIMD)
    (copy,) = (n for n in copies_in(hls_model) if n.inputs == ['norm'])
    assert (copy.lanes_in(), copy.lanes_out, copy.n_beats) == (3, 3, 3 * 4 * 6 // 3)
    assert {n.class_name for n in hls_model.get_layers() if set(n.inputs) & set(copy.outputs)} == {
        'ExactLayerNorm',
        'ExactRepack',
    }
    for node in copies_in(hls_model):
        variables = [node.get_input_variable(), *(node.get_output_variable(o) for o in node.outputs)]
        assert {(v.type.name, v.type.n_elem) for v in variables} == {(variables[0].type.name, node.lanes_out)}
    assert_exact(model, hls_model, images((3, 4, 6), 3))


def test_traces_leave_copies_out(tmp_path):
    model = many(9)
    hls_model = convert(model, tmp_path / 'p')
    hls4ml_ext.compile(hls_model, trace=True)
    x = images((3, 4, 2), 2)
    _, trace = quietly(hls_model.trace, x)
    assert set(trace) == {f'b{i}' for i in range(9)}
    for i in range(9):
        assert (trace[f'b{i}'] == keras.Model(model.inputs, model.get_layer(f'b{i}').output).predict(x, verbose=0)).all()


def test_settings_leave_copies_out():
    names = hls4ml_ext.config_from_model(many(9))['LayerName']
    assert set(names) == {f'b{i}' for i in range(9)}


@pytest.mark.parametrize('build', [outputs_with_readers, behind_lanes, inside_an_ode_block])
def test_serialized_models_come_back(build, tmp_path):
    """With the streams that they had: hls4ml itself would make whole pixels, and whole images deep."""
    from hls4ml.utils.serialization import deserialize_model, serialize_model

    model = build()
    hls_model = convert(model, tmp_path / 'p', hls_config=SIMD if build is behind_lanes else {})
    quietly(hls_model.write)
    serialize_model(hls_model, tmp_path / 'saved.fml')
    again = quietly(deserialize_model, tmp_path / 'saved.fml', output_dir=str(tmp_path))
    again.config.config['OutputDir'] = str(tmp_path / 'again')
    hls4ml_ext.compile(again)
    assert [n.outputs for n in again.get_layers()] == [n.outputs for n in hls_model.get_layers()]
    for file in ('myproject.cpp', 'parameters.h', 'defines.h'):
        assert sorted((tmp_path / 'again/firmware' / file).read_text().splitlines()) == sorted(
            (tmp_path / 'p/firmware' / file).read_text().splitlines()
        )
    x = images(model.input_shape[1:], 2, STATE if build is inside_an_ode_block else INPUT)
    expected = model.predict(x, verbose=0)
    expected = expected if isinstance(expected, list) else [expected]
    got = again.predict(x)
    for y, k in zip(got if isinstance(got, list) else [got], expected):
        assert (np.asarray(y).reshape(k.shape) == k).all()


def test_the_short_branch_behind_a_copy_waits(tmp_path):
    """For the first result of the convolution: a row, a pixel, and what is in its pipelines."""
    x = inputs = keras.Input((24, 8, 2), name='image')
    x = QActivation(INPUT, name='q')(x)
    y = QConv2D(2, 3, padding='same', kernel_quantizer=W, use_bias=False, name='c')(x)
    z = conv('other')(x)
    total = keras.layers.Add(name='add')([x, quantize('a')(y)])
    hls_model = convert(randomize(keras.Model(inputs, [total, z])), tmp_path / 'p')
    depths = {name: variable.pragma[1] for name, variable in hls_model.output_vars.items()}
    (copy,) = copies_in(hls_model)
    short = next(t for t in hls_model.graph['add'].inputs if t in copy.outputs)
    assert depths[short] >= 8 + 1 + MIN_DEPTH
    assert min(depths.values()) >= MIN_DEPTH
