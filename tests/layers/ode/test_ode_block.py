"""The ODE block in hardware: equal to Keras, one node, one copy of the weights."""

import filecmp
import os

import keras
import numpy as np
import pytest
from exactness import ExactnessTest, assert_exact, branches, convert, images, quietly
from qkeras import QActivation, QConv2D, QDepthwiseConv2D

import hls4ml_ext
from hls4ml_ext import ConversionError, ODEBlock, PrecisionError, Solver

WEIGHTS = 'quantized_bits(4,0,alpha=1)'
BIAS = 'quantized_bits(6,1,alpha=1)'
STATE = 'quantized_bits(10,2,alpha=1)'
KUTTA3 = Solver('kutta3', ((), (0.5,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6), (0.0, 0.5, 1.0), 3)


def separable(channels, slope='quantized_bits(8,2,alpha=1)', activation='quantized_relu(8,2)', kernel=3):
    """The layers of a depthwise-separable dynamics."""
    return [
        QActivation(activation),
        QDepthwiseConv2D(kernel, padding='same', depthwise_quantizer=WEIGHTS, use_bias=False),
        QActivation('quantized_bits(8,2,alpha=1)'),
        QConv2D(channels, 1, kernel_quantizer=WEIGHTS, bias_quantizer=BIAS),
        *([QActivation(slope)] if slope else []),
    ]


def block(channels=3, n_steps=2, state=STATE, dynamics=None, **kwargs):
    return ODEBlock(dynamics or separable(channels), n_steps, state_quantizer=state, **kwargs)


def branching_dynamics(shape):
    """Dynamics with a skip connection inside."""
    inputs = keras.Input(shape)
    x = skip = QActivation('quantized_bits(7,2,alpha=1)')(inputs)
    x = QDepthwiseConv2D(3, padding='same', depthwise_quantizer=WEIGHTS, bias_quantizer=BIAS)(x)
    x = QActivation('quantized_bits(8,2,alpha=1)')(x)
    x = keras.layers.Add()([x, skip])
    return keras.Model(inputs, QActivation('quantized_bits(6,1,alpha=1)')(x))


class TestODEBlock(ExactnessTest):
    models = {
        'solvers': lambda: branches(
            (5, 4, 3),
            {
                **{name: block(solver=name, name=name) for name in ('euler', 'midpoint', 'heun', 'rk4')},
                'kutta3': block(solver=KUTTA3, name='kutta3'),
                'backwards': block(solver='heun', step_size=-0.3, name='backwards'),
            },
        ),
        'time': lambda: branches(
            (4, 5, 3),
            {
                'euler': block(4, time_channel=True, n_steps=3, dynamics=separable(3), name='euler'),
                'rk4': block(solver='rk4', time_channel=True, dynamics=separable(3), name='rk4'),
                'unrounded': block(n_steps=3, dynamics=separable(3, slope=None), name='unrounded'),
                'narrow': block(state='quantized_bits(5,1,alpha=1)', coefficient_bits=3, n_steps=7, name='narrow'),
                'symmetric': block(state='quantized_bits(7,1,1,alpha=1)', step_size=2.0, name='symmetric'),
                'one': block(n_steps=1, name='one'),
            },
        ),
        'shapes': lambda: branches(
            (1, 6, 2),
            {
                'row': block(2, name='row'),
                'large_kernel': block(dynamics=separable(2, kernel=5), name='large_kernel'),
                'branches': ODEBlock(branching_dynamics((1, 6, 2)), 3, 'midpoint', state_quantizer=STATE, name='branches'),
                'nested': ODEBlock([block(2, name='inner')], 2, state_quantizer=STATE, name='nested'),
                'then_quantizer': [block(2, name='outer'), QActivation('quantized_relu(5,1)', name='narrower')],
                'twice': [block(2, name='first'), block(2, n_steps=3, solver='heun', name='second')],
            },
        ),
    }  # fmt: skip
    io_types = ('io_stream',)
    reuse_factors = (1, 'mixed')
    n_random = 3


class TestODEBlockParallel(ExactnessTest):
    models = {'time': TestODEBlock.models['time']}
    io_types = ('io_parallel',)
    n_random = 3


class TestODEBlockHardwareIntegers(ExactnessTest):
    models = {
        'both': lambda: branches(
            (4, 4, 3), {'rk4': block(solver='rk4', time_channel=True, name='rk4'), 'euler': block(name='euler')}
        )
    }
    io_types = ('io_stream',)
    hardware_integers = True
    n_random = 3


def model_of(*layers, shape=(5, 4, 3)):
    return branches(shape, {'branch': list(layers)})


def test_against_numpy_integers(tmp_path):
    """A quantized Euler integration of a rotation, written down again with Python's integers."""
    pointwise = QConv2D(2, 1, kernel_quantizer='quantized_bits(8,1,alpha=1)', use_bias=False, name='pw')
    ode = ODEBlock(
        [QActivation('quantized_bits(8,1,alpha=1)'), pointwise], 5, state_quantizer='quantized_bits(12,1,alpha=1)'
    )
    model = model_of(ode, shape=(3, 2, 2))
    kernel = np.array([[-0.25, 1.25], [-1.25, -0.5]])  # multiples of 2^-6
    pointwise.set_weights([kernel.reshape(1, 1, 2, 2)])
    x = images((3, 2, 2), 4)

    def rounded(value, frac_from, frac_to, bits):
        """Round half to even and saturate, on integers."""
        shift = frac_from - frac_to
        down, rest, half = value >> shift, value & ((1 << shift) - 1), (1 << shift) >> 1
        down += (rest > half) | ((rest == half) & (down & 1 == 1)) if shift else 0
        return np.clip(down, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)

    state = np.clip(np.rint(x.astype(np.float64) * 128), -128, 127).astype(np.int64) * 8  # 7 -> 10 fractional bits
    weights = (kernel * 64).astype(np.int64)
    coefficient = int(ode.tableau()[1][0] * 2**10)  # 1/5 with 8 significant bits: 205 / 1024
    assert coefficient == 205
    for _ in range(5):
        slopes = rounded(state, 10, 6, 8) @ weights  # 12 fractional bits
        state = rounded((state << 12) + slopes * coefficient, 22, 10, 12)
    hls_model = convert(model, tmp_path / 'project')
    hls4ml_ext.compile(hls_model)
    simulated = hls4ml_ext.simulate(hls_model, x).reshape(x.shape)
    assert (simulated * 1024 == state).all()
    assert (simulated == model.predict(x, verbose=0)).all()


def firmware(model, directory, **kwargs):
    hls_model = convert(model, directory, **kwargs)
    quietly(hls_model.write)
    return hls_model, directory / 'firmware'


def test_weight_files_do_not_depend_on_the_number_of_steps(tmp_path):
    weights = []
    for n_steps in (1, 10):
        keras.utils.set_random_seed(0)
        _, path = firmware(model_of(block(n_steps=n_steps, solver='rk4', name='ode')), tmp_path / str(n_steps))
        weights.append(path / 'weights')
    names = [sorted(os.listdir(path)) for path in weights]
    assert names[0] == names[1] and len(names[0]) == 8  # .h and .txt of two kernels and two biases
    _, mismatch, errors = filecmp.cmpfiles(*weights, names[0], shallow=False)
    assert not mismatch and not errors


def test_it_is_one_node_with_one_call(tmp_path):
    hls_model, path = firmware(model_of(block(n_steps=9, solver='rk4', name='ode')), tmp_path / 'project')
    assert [n.name for n in hls_model.get_layers()] == ['image', 'ode.start', 'ode']
    top = (path / 'myproject.cpp').read_text()
    calls = [line for line in top.splitlines() if line.strip().startswith('ode_block')]
    assert len(calls) == 1
    parameters = (path / 'parameters.h').read_text()
    assert parameters.count('nnet::ext::depthwise<') == 1
    # The evaluations call one instance: a loop of two, and one more since their number is odd or none since it is even.
    node = hls_model.graph['ode']
    assert node.evaluations == 36
    assert parameters.count(f'ode_evaluate{node.index}(data, ') == 2
    assert f'#pragma HLS ALLOCATION function instances=ode_evaluate{node.index} limit=1' in parameters


def test_layers_inside_are_configured_by_name(tmp_path):
    conv = QConv2D(3, 3, padding='same', kernel_quantizer=WEIGHTS, use_bias=False, name='conv')
    model = model_of(block(4, dynamics=[QActivation('quantized_relu(8,2)'), conv], name='ode'))
    config = hls4ml_ext.config_from_model(model)
    assert config['LayerName']['ode.conv']['ReuseFactor'] == 1
    for key in ('ode.conv', 'ode/conv'):
        settings = {'ReuseFactor': 9, 'WeightStorage': 'bram', 'MultImpl': 'dsp'}
        hls_model, path = firmware(model, tmp_path / key.replace('/', '_'), hls_config={'LayerName': {key: settings}})
        conv = next(n for n in hls_model.graph['ode'].inner_layers() if n.name == 'ode.conv')
        assert conv.reuse == 9 and conv.multipliers == 9
        parameters = (path / 'parameters.h').read_text()
        assert f'variable=w{conv.index} type=rom_1p impl=bram' in parameters and 'mult_dsp' in parameters


@pytest.mark.parametrize('storage', ['auto', 'uram', 'bram', 'lutram'])
def test_state_storage(tmp_path, storage):
    hls_model, path = firmware(
        model_of(block(name='ode')), tmp_path / 'p', hls_config={'LayerName': {'ode': {'StateStorage': storage}}}
    )
    chosen = 'lutram' if storage == 'auto' else storage  # 20 pixels of 3 channels, one at a time
    assert f'variable=x type=ram_s2p impl={chosen}' in (path / 'parameters.h').read_text()
    assert {m.impl for m in hls_model.graph['ode'].memories} == {chosen}


def test_unknown_state_storage():
    with pytest.raises(ConversionError, match="layer 'ode': StateStorage is 'ddr'. Use one of auto, uram, bram, lutram"):
        convert(model_of(block(name='ode')), 'unwritten', hls_config={'LayerName': {'ode': {'StateStorage': 'ddr'}}})


@pytest.mark.parametrize(
    'solver, n_steps, buffers',
    [
        ('euler', 1, {}),
        ('euler', 4, {'x': 1, 'y': 1}),
        ('midpoint', 4, {'x': 1, 'y': 1, 'z': 1}),
        ('heun', 4, {'x': 1, 'y': 1, 'z': 1, 'earlier': 1}),
        ('rk4', 4, {'x': 1, 'y': 1, 'z': 1, 'earlier': 3}),
        (KUTTA3, 4, {'x': 1, 'y': 1, 'z': 1, 'earlier': 2}),
    ],
    ids=lambda value: str(getattr(value, 'name', value)) if not isinstance(value, dict) else '',
)
def test_only_buffers_that_are_used(tmp_path, solver, n_steps, buffers):
    hls_model, path = firmware(model_of(block(solver=solver, n_steps=n_steps, name='ode')), tmp_path / 'p')
    node = hls_model.graph['ode']
    assert {m.name: m.banks for m in node.memories} == buffers
    assert {m.words * m.lanes for m in node.memories} <= {5 * 4 * 3}
    text = (path / 'parameters.h').read_text()
    for name in ('z', 'earlier'):
        assert (f'variable={name} ' in text) == (name in buffers)


@pytest.mark.parametrize(
    'solver, step_size, columns',
    [('euler', 0.25, 0), ('heun', 0.5, 0), ('euler', 0.3, 1), ('rk4', 0.5, 4), ('midpoint', 0.3, 2)],
)
def test_multipliers_only_for_coefficients_that_are_no_powers_of_two(solver, step_size, columns):
    node = convert(model_of(block(solver=solver, step_size=step_size, name='ode')), 'unwritten', reuse=3).graph['ode']
    assert sum(p.count for p in node.products) == columns * node.lanes_out
    assert node.multipliers == columns * node.lanes_out + sum(n.multipliers for n in node.inner_layers())
    if columns:
        (product,) = node.products
        assert (
            product.widths[0] == 8 and 8 <= product.widths[1] <= 12
        )  # slopes; coefficients of 8 significant bits at one scale


def test_lanes_are_those_of_the_slopes():
    """PE of the layer that gives them; the reading end takes what the first layer wants from the state and the time."""
    hls_config = {'Model': {}, 'LayerName': {'ode.pw': {'PE': 2}, 'ode.dw': {'PE': 5}}}
    for time in (False, True):
        dynamics = separable(4)
        dynamics[1].name, dynamics[3].name = 'dw', 'pw'
        hls_config['LayerName']['ode.dw']['PE'] = 5 if time else 4
        model = model_of(block(dynamics=dynamics, time_channel=time, name='ode'), shape=(5, 4, 4))
        node = convert(model, 'unwritten', hls_config=hls_config).graph['ode']
        assert node.lanes_out == node.lanes_in() == 2
        assert node.get_attr('dynamics').lanes_in == (5 if time else 2)
        assert {(m.words, m.lanes) for m in node.memories} == {(5 * 4 * 2, 2)}


def test_cycles_follow_the_formula():
    hls_model = convert(model_of(block(n_steps=5, solver='heun', name='ode')), 'unwritten', reuse=3)
    ode = hls_model.graph['ode']
    assert ode.evaluations == 10
    assert ode.cycles == 10 * ode.evaluation_cycles
    # Pixels come as three beats of a channel; each layer gives a beat a cycle. The first output of the 3x3 convolution needs
    # a row, a pixel and itself: the first beat of the sixth pixel. A repack waits for the two other beats of the pixel.
    by_hand = {
        'state': 1, 'activation': 1, 'depthwise': 5 * 3 + 1, 'repack': 2 + 1, 'pointwise': 1, 'update': 1, 'other beats': 59,
    }  # fmt: skip
    depths = {n.name: sum(n.pipeline_depths) for n in ode.inner_layers()}
    ends = [p.depths[-1] for p in (ode.processes[0], ode.processes[-1])]
    assert ode.evaluation_cycles == sum(by_hand.values()) + sum(depths.values()) + sum(ends)
    assert ode.macs == 10 * 20 * (9 * 3 + 3 * 3)


def test_no_state_quantizer():
    with pytest.raises(ConversionError, match="layer 'ode': it has no state_quantizer. Give it one"):
        convert(model_of(block(state=None, name='ode')), 'unwritten')


def test_update_too_wide_for_float32():
    wide = block(state='quantized_bits(20,2,alpha=1)', n_steps=10, coefficient_bits=16, name='ode')
    with pytest.raises(
        PrecisionError, match=r"layer 'ode': the update z \+ h\*sum\(b\*k\) needs \d+ bits in the worst case"
    ):
        convert(model_of(wide), 'unwritten')


def test_errors_inside_name_block_and_layer():
    dynamics = [QActivation('quantized_relu(8,2)'), QConv2D(3, 1, use_bias=False, name='pw')]
    with pytest.raises(ConversionError, match="layer 'ode.pw': kernel has no quantizer"):
        convert(model_of(block(dynamics=dynamics, name='ode')), 'unwritten')


def test_layer_called_twice_inside_the_dynamics():
    inputs = keras.Input((5, 4, 3))
    shared = QConv2D(3, 1, kernel_quantizer=WEIGHTS, use_bias=False, name='shared')
    x = QActivation('quantized_bits(8,1,alpha=1)')(shared(QActivation('quantized_bits(8,1,alpha=1)')(inputs)))
    dynamics = keras.Model(inputs, shared(x))
    with pytest.raises(ConversionError, match="layer 'ode.shared': it is called 2 times.*hls4ml_ext.ODEBlock"):
        convert(model_of(block(dynamics=dynamics, name='ode')), 'unwritten')


def test_serialized_model_simulates_the_same(tmp_path):
    from hls4ml.utils.serialization import deserialize_model

    model = model_of(block(solver='rk4', time_channel=True, name='ode'))
    hls_model = convert(model, tmp_path / 'project')
    hls_model.save(str(tmp_path / 'model.fml'))
    again = deserialize_model(str(tmp_path / 'model.fml'))
    again.config.config['OutputDir'] = str(tmp_path / 'again')
    hls4ml_ext.compile(again)
    x = images((5, 4, 3), 3)
    assert (hls4ml_ext.simulate(again, x) == hls4ml_ext.predict(model, x)).all()


def test_stock_api_and_vivado(tmp_path):
    import hls4ml

    model = model_of(block(name='ode'))
    for backend in ('Vivado', 'Vitis'):
        hls_model = quietly(
            hls4ml.converters.convert_from_keras_model,
            model, output_dir=str(tmp_path / backend), backend=backend, io_type='io_stream',
        )  # fmt: skip
        assert_exact(model, hls_model, images((5, 4, 3), 3))


def test_namespace(tmp_path):
    model = model_of(block(solver='heun', name='ode'))
    assert_exact(model, convert(model, tmp_path / 'project', namespace='mine'), images((5, 4, 3), 2))
