"""Dense, depthwise and pointwise convolution."""

import numpy as np
import pytest
from convolutions import SIZES, STRIDES, conv, depthwise, geometries
from exactness import ExactnessTest, assert_exact, branches, convert, images
from qkeras import QActivation

import hls4ml_ext


class TestGeometry(ExactnessTest):
    models = {
        f'{shape[0]}x{shape[1]}-{part}': lambda shape=shape, part=part: geometries(SIZES, STRIDES, shape, conv, part, 6)
        for shape, part in zip(((7, 9, 2), (9, 6, 3), (7, 9, 2), (8, 8, 1), (5, 11, 2), (7, 7, 3)), range(6))
    }
    io_types = ('io_stream',)
    reuse_factors = ('mixed',)


class TestGeometryInParallel(ExactnessTest):
    models = {'7x6': lambda: geometries((1, 3, (2, 3)), (1, 2), (7, 6, 2), conv)}
    io_types = ('io_parallel',)
    reuse_factors = (1, 'mixed')
    hardware_integers = True


class TestTinyImages(ExactnessTest):
    """Images that are smaller than the kernel, a single pixel, row or column."""

    models = {
        f'{h}x{w}': lambda h=h, w=w: geometries((1, 3, 5, (1, 2)), (1, 2), (h, w, 2), conv)
        for h, w in ((1, 1), (1, 7), (6, 1), (2, 2))
    }
    io_types = ('io_stream',)
    reuse_factors = ('mixed',)


class TestDepthwise(ExactnessTest):
    models = {
        '7x9': lambda: geometries((1, 3, 5, (3, 1), (2, 3)), (1, 2, 3), (7, 9, 4), depthwise, 0, 2),
        '6x5': lambda: geometries((1, 3, 5, (3, 1), (2, 3)), (1, 2, 3), (6, 5, 4), depthwise, 1, 2),
        '1x1': lambda: geometries((1, 3), (1, 2), (1, 1, 6), depthwise),
        '1x8': lambda: geometries((3, 5), (1, 3), (1, 8, 3), depthwise),
    }
    io_types = ('io_stream',)
    reuse_factors = ('mixed',)


class TestDepthwiseInParallel(ExactnessTest):
    models = {'5x6': lambda: geometries((1, 3, (3, 1)), (1, 2), (5, 6, 4), depthwise)}
    io_types = ('io_parallel',)
    reuse_factors = (1, 'mixed')
    hardware_integers = True


QUANTIZERS = {
    **{f'bits{b}': f'quantized_bits({b},0,alpha=1)' for b in range(1, 9)},
    'integer2': 'quantized_bits(6,2,alpha=1)',
    'negative_integer': 'quantized_bits(5,-2,alpha=1)',
    'symmetric': 'quantized_bits(4,0,1,alpha=1)',
    'unsigned': 'quantized_bits(4,0,keep_negative=False,alpha=1)',
    'alpha_half': 'quantized_bits(4,0,alpha=0.5)',
    'alpha_4': 'quantized_bits(4,0,alpha=4)',
    'alpha_3': 'quantized_bits(4,0,alpha=3)',
    'auto_po2': "quantized_bits(4,0,1,alpha='auto_po2')",
    'alpha_none': 'quantized_bits(4,0)',
    'binary': 'binary(alpha=1)',
    'ternary': 'ternary(alpha=1)',
    'ternary_po2': "ternary(alpha='auto_po2')",
    'po2': 'quantized_po2(4,1)',
}


def kernel_quantizers(kind):
    make = {'conv': lambda n, q: conv(n, 3, kernel=q), 'depthwise': lambda n, q: depthwise(n, 3, kernel=q)}[kind]
    return branches((5, 6, 3), {name: make(name, q) for name, q in QUANTIZERS.items()})


class TestKernelQuantizers(ExactnessTest):
    models = {'conv': lambda: kernel_quantizers('conv'), 'depthwise': lambda: kernel_quantizers('depthwise')}
    io_types = ('io_stream',)
    reuse_factors = (1, 'mixed')
    hardware_integers = True


RESULTS = {
    'raw': None,
    'bits8': 'quantized_bits(8,3,alpha=1)',
    'bits4_coarse': 'quantized_bits(4,3,alpha=1)',
    'bits16_fine': 'quantized_bits(16,4,alpha=1)',
    'bits3_saturating': 'quantized_bits(3,-1,alpha=1)',
    'symmetric': 'quantized_bits(5,1,1,alpha=1)',
    'unsigned': 'quantized_bits(5,1,keep_negative=False,alpha=1)',
    'huge_lsb': 'quantized_bits(3,5,alpha=1)',
    'relu6': 'quantized_relu(6,2)',
    'relu1': 'quantized_relu(1,1)',
    'relu_16': 'quantized_relu(16,4)',
}


def results(as_argument: bool):
    """A convolution with each quantizer behind it, as a layer of its own or as its ``activation``."""
    layers = {}
    for name, quantizer in RESULTS.items():
        if as_argument or quantizer is None:
            layers[name] = conv(name, 2, activation=quantizer)
        else:
            layers[name] = [conv(name, 2), QActivation(quantizer, name=f'{name}_quantizer')]
    return branches((4, 5, 3), layers)


class TestFusedQuantizers(ExactnessTest):
    models = {'layers': lambda: results(False), 'arguments': lambda: results(True)}
    reuse_factors = (2,)
    hardware_integers = True


class TestActivationArgument(ExactnessTest):
    models = {
        'activations': lambda: branches(
            (4, 4, 4),
            {
                'linear': conv('linear', 1, activation='linear'),
                'relu': conv('relu', 1, activation='relu'),
                'depthwise_relu': depthwise('depthwise_relu', 3, activation='quantized_relu(5,1)'),
                'relu_then_quantizer': [
                    conv('a', 1, activation='relu'),
                    QActivation('quantized_bits(6,2,alpha=1)', name='qa'),
                ],
                'quantizer_twice': [
                    conv('b', 1, activation='quantized_bits(8,3,alpha=1)'),
                    QActivation('quantized_relu(4,2)', name='qb'),
                ],
            },
        )
    }


class TestInputTypes(ExactnessTest):
    """Types of the input other than 8 signed bits."""

    models = {'1': None}

    @pytest.mark.parametrize(
        'quantizer',
        [
            'quantized_bits(8,0,keep_negative=False,alpha=1)',
            'quantized_relu(8,0)',
            'quantized_bits(2,0,alpha=1)',
            'quantized_relu(1,0)',
            'quantized_bits(12,3,1,alpha=1)',
            'quantized_bits(4,8,alpha=1)',
            'quantized_bits(6,-12,alpha=1)',
        ],
    )
    def test_equals_keras(self, quantizer, tmp_path):
        layers = {
            'conv': conv('conv', 3),
            'no_bias': conv('no_bias', 1, use_bias=False),
            'depthwise': depthwise('depthwise', 3),
        }
        if ',-12,' in quantizer:  # biases of the same magnitude, or the sums don't fit into float32
            layers = {'conv': conv('conv', 3, bias='quantized_bits(8,-10,alpha=1)'), 'no_bias': layers['no_bias']}
        model = branches((5, 4, 3), layers, quantizer)
        hls_model = convert(model, tmp_path / 'project', reuse='mixed')
        assert_exact(model, hls_model, images((5, 4, 3), 6, quantizer), hardware_integers=True)


def test_worst_case_sums(tmp_path):
    """All inputs and all weights at their extremes: the sum reaches the end of its range and doesn't wrap."""
    model = branches((3, 3, 4), {'high': conv('high', 3, padding='valid'), 'low': conv('low', 3, padding='valid')})
    for name, value in (('high', -1.0), ('low', 15 / 16)):
        layer = model.get_layer(name)
        layer.kernel.assign(np.full(layer.kernel.shape, value))
        layer.bias.assign(np.full(layer.bias.shape, 4 * np.sign(-value)))
    hls_model = convert(model, tmp_path / 'project')
    assert_exact(model, hls_model, images((3, 3, 4)), hardware_integers=True)
    y = np.asarray(hls_model.predict(np.full((2, 3, 3, 4), -1, np.float32))[0])
    assert (y == 36 + 3.96875).all()


@pytest.mark.parametrize('simd', [1, 3, 9, 27])
@pytest.mark.parametrize('pe', [1, 2, 4, 8])
def test_words_of_the_weight_rom(simd, pe):
    """A matrix times a vector, word by word as the kernel reads them: here in NumPy."""
    from hls4ml_ext.layers.convolution.lowering import matrix_words

    rng = np.random.default_rng(simd * pe)
    x, w = rng.integers(-9, 9, 27), rng.integers(-9, 9, (27, 8))
    words = matrix_words(w, simd, pe)
    assert words.shape == (27 // simd * (8 // pe), simd * pe)
    result, address = np.zeros(8, int), 0
    for i in range(8 // pe):
        for k in range(27 // simd):
            result[i * pe : (i + 1) * pe] += words[address].reshape(pe, simd) @ x[k * simd : (k + 1) * simd]
            address += 1
    assert (result == x @ w).all()


@pytest.mark.parametrize('reuse', [1, 2, 4, 6, 9, 16, 100, 10**6])
def test_a_reuse_factor_has_the_narrowest_streams(reuse, tmp_path):
    model = branches((4, 4, 16), {'conv': conv('conv', 1, filters=32)})
    hls_model = convert(model, tmp_path / 'p', reuse=reuse)
    node = next(n for n in hls_model.get_layers() if n.name == 'conv')
    alike = [f for f in node.possible_foldings() if f.reuse == node.reuse]
    assert node.reuse == max(f.reuse for f in node.possible_foldings() if f.reuse <= reuse)
    assert node.get_attr('simd') + node.get_attr('pe') == min(f.simd + f.pe for f in alike)
    assert node.multipliers * node.reuse == 16 * 32
    assert (node.lanes_in(), node.lanes_out) == (node.get_attr('simd'), node.get_attr('pe'))


def test_settings_of_a_folding(tmp_path):
    """What config_from_model shows is what the layer has; a reuse factor and the SIMD and PE that it makes obsolete."""
    model = branches((4, 4, 16), {'conv': conv('conv', 1, filters=32)})
    config = hls4ml_ext.config_from_model(model, default_reuse_factor=32)
    layer = config['LayerName']['conv']
    assert (layer['ReuseFactor'], layer['SIMD'], layer['PE']) == (32, 4, 4)
    layer['ReuseFactor'] = 8
    assert 'SIMD' not in layer and 'PE' not in layer
    node = convert(model, tmp_path / 'a', hls_config=config).graph['conv']
    assert (node.reuse, node.multipliers) == (8, 64)
    layer['SIMD'] = 16
    node = convert(model, tmp_path / 'b', hls_config=config).graph['conv']
    assert (node.get_attr('simd'), node.get_attr('pe'), node.reuse) == (16, 1, 32)


def test_a_reuse_factor_that_contradicts_simd_and_pe(tmp_path):
    model = branches((4, 4, 16), {'conv': conv('conv', 1, filters=32)})
    config = {'LayerName': {'conv': {'ReuseFactor': 8, 'SIMD': 4, 'PE': 4}}}
    with pytest.raises(hls4ml_ext.ConversionError, match="'conv': ReuseFactor is 8, but SIMD 4 and PE 4 take 32 cycles"):
        convert(model, tmp_path / 'p', hls_config=config)


class TestFoldings(ExactnessTest):
    """Every way to fold a layer, in hardware: all SIMD and PE, windows in parallel and in series."""

    io_types = ('io_stream',)

    @pytest.mark.parametrize('stride', [1, 2])
    @pytest.mark.parametrize('make', [conv, depthwise])
    def test_equals_keras(self, make, stride, tmp_path):
        shape = (5, 6, 4)
        one = convert(branches(shape, {'l': make('l', 3, stride)}), tmp_path / 'one')
        possible = next(n for n in one.get_layers() if n.name == 'l').possible_foldings()
        layers = {f'fold{i}': make(f'fold{i}', 3, stride) for i in range(len(possible))}
        config = {'LayerName': {f'fold{i}': {'SIMD': f.simd, 'PE': f.pe} for i, f in enumerate(possible)}}
        model = branches(shape, layers)
        hls_model = convert(model, tmp_path / 'project', hls_config=config)
        nodes = {n.name: n for n in hls_model.get_layers() if n.name in layers}
        assert [nodes[f'fold{i}'].reuse for i in range(len(possible))] == [f.reuse for f in possible]
        assert len(possible) >= 6
        assert_exact(model, hls_model, images(shape, 3), hardware_integers=stride == 2)


def test_invalid_reuse_factor_is_changed_with_a_warning(tmp_path):
    model = branches((4, 4, 2), {'conv': conv('conv', 3, filters=4)})
    with pytest.warns(UserWarning, match=r"'conv': ReuseFactor 7 is not possible, using 4\. Possible: 1, 2, 4, 8, 9"):
        hls_model = convert(model, tmp_path / 'p', hls_config={'LayerName': {'conv': {'ReuseFactor': 7}}})
    assert next(n for n in hls_model.get_layers() if n.name == 'conv').reuse == 4


def test_invalid_reuse_factor_of_the_model_is_silent(tmp_path, recwarn):
    model = branches((4, 4, 2), {'conv': conv('conv', 3, filters=4)})
    hls_model = convert(model, tmp_path / 'p', hls_config={'Model': {'ReuseFactor': 7}})
    assert next(n for n in hls_model.get_layers() if n.name == 'conv').reuse == 4
    assert not [w for w in recwarn if 'ReuseFactor' in str(w.message)]


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('ReuseFactor', 0),
        ('SIMD', 0),
        ('SIMD', 5),
        ('PE', 7),
        ('PE', 'all'),
        ('ReuseFactor', -1),
        ('ReuseFactor', 1.5),
        ('ReuseFactor', True),
        ('ReuseFactor', 'many'),
    ]
    + [('WeightStorage', 'uram'), ('MultImpl', 'fast')],
)
def test_bad_setting(key, value, tmp_path):
    model = branches((4, 4, 2), {'conv': conv('conv', 3)})
    with pytest.raises(hls4ml_ext.ConversionError, match=f"layer 'conv': {key} is {value!r}"):
        convert(model, tmp_path / 'p', hls_config={'LayerName': {'conv': {key: value}}})
    assert not (tmp_path / 'p').exists()


@pytest.mark.parametrize(
    ('storage', 'reuse', 'impl'),
    [('bram', 2, 'bram'), ('lutram', 128, 'lutram'), ('auto', 64, 'lutram'), ('auto', 128, 'bram')],
)
def test_storage_of_weights(storage, reuse, impl, tmp_path):
    model = branches((4, 4, 16), {'conv': conv('conv', 1, filters=16, use_bias=False)})
    config = {'LayerName': {'conv': {'ReuseFactor': reuse, 'WeightStorage': storage, 'MultImpl': 'dsp'}}}
    hls_model = convert(model, tmp_path / 'p', hls_config=config)
    hls_model.write()
    top = (tmp_path / 'p/firmware/parameters.h').read_text()
    weights = next(n for n in hls_model.get_layers() if n.name == 'conv').weights['weight'].name
    assert f'#pragma HLS BIND_STORAGE variable={weights} type=rom_1p impl={impl}' in top
    assert 'nnet::ext::mult_dsp' in (tmp_path / 'p/firmware/parameters.h').read_text()


class TestVivado(ExactnessTest):
    models = {'conv': lambda: branches((5, 5, 3), {'conv': conv('conv', 3, 2), 'depthwise': depthwise('depthwise', 3)})}
    backends = ('Vivado',)
    reuse_factors = (2,)


@pytest.mark.slow
class TestManyGeometries(ExactnessTest):
    """All geometries, in both io types, folded as far as possible."""

    models = {
        f'{make.__name__}-{shape[0]}x{shape[1]}-{part}': lambda shape=shape, part=part, make=make: geometries(
            (1, 2, 3, 5, (3, 1), (2, 3)), (1, 2, 3), shape, make, part, 3
        )
        for make in (conv, depthwise)
        for shape in ((7, 9, 2), (4, 3, 4))
        for part in range(3)
    }
    reuse_factors = ('largest',)
