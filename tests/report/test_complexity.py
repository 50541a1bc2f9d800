"""Parameters, multiply-accumulates and weight bits: by hand, and as the hardware's layers count them."""

import warnings

import exactness
import keras
import numpy as np
import pytest
from keras.layers import BatchNormalization, Conv2D, Dense, DepthwiseConv2D, EinsumDense, MultiHeadAttention
from qkeras import QActivation, QConv2D, QDense

from hls4ml_ext import MultiHeadSelfAttention2D, ODEBlock, fold_batchnorm
from hls4ml_ext.devices import device_names, load_device
from hls4ml_ext.errors import ConversionError, ExtError
from hls4ml_ext.models import builder
from hls4ml_ext.models.knobs import Quantization, Quantizers
from hls4ml_ext.report import facts
from hls4ml_ext.report.complexity import Complexity, complexity
from hls4ml_ext.report.macs import macs_of_call

W4, B6 = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(6,2,alpha=1)'


def of(shape, *layers, **kwargs):
    """The complexity of a chain of layers."""
    x = inputs = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return complexity(keras.Model(inputs, x), **kwargs)


# ---------------------------------------------------------------------------------------------------------------------
# Layers
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('layer', 'shape', 'macs', 'parameters'),
    [
        (lambda: Conv2D(5, 3, strides=2, padding='same'), (7, 8, 2), 4 * 4 * 9 * 2 * 5, 9 * 2 * 5 + 5),
        (lambda: Conv2D(6, (1, 3), groups=2, use_bias=False), (7, 8, 4), 7 * 6 * 3 * 2 * 6, 3 * 2 * 6),
        (lambda: keras.layers.Conv1D(3, 5, use_bias=False), (9, 2), 5 * 5 * 2 * 3, 5 * 2 * 3),
        (lambda: DepthwiseConv2D(3, use_bias=False), (7, 8, 4), 5 * 6 * 9 * 4, 9 * 4),
        (lambda: DepthwiseConv2D(3, depth_multiplier=2, use_bias=False), (7, 8, 4), 5 * 6 * 9 * 8, 9 * 8),
        (lambda: Dense(3), (5,), 15, 18),
        (lambda: Dense(3), (2, 4, 5), 8 * 15, 18),
        (lambda: EinsumDense('abc,cd->abd', (None, 6), bias_axes='d'), (7, 5), 7 * 5 * 6, 36),
        (lambda: EinsumDense('abc,chd->abhd', (None, 2, 3)), (7, 5), 7 * 5 * 6, 30),
        (lambda: EinsumDense('ab...,bc->ac...', (4, 6)), (5, 6), 6 * 5 * 4, 20),
        (lambda: MultiHeadSelfAttention2D(2, 3), (4, 5, 6), 20 * (6 * 18 + 6 * 6) + 2 * 20**2 * 6, 144 + 7 * 3 + 9 * 3),
        (lambda: MultiHeadSelfAttention2D(2, 3, None, use_output_projection=False), (2, 2, 6), 4 * 108 + 2 * 16 * 6, 108),
        (lambda: keras.layers.LayerNormalization(), (4, 5), 0, 10),
        (lambda: keras.layers.AveragePooling2D(2), (4, 4, 2), 0, 0),
    ],
)
def test_layers(layer, shape, macs, parameters):
    found = of(shape, layer())
    assert (found.macs, found.parameters, found.weights) == (macs, parameters, parameters)


def test_keras_attention():
    query, value = keras.Input((7, 6)), keras.Input((5, 4))
    model = keras.Model([query, value], MultiHeadAttention(2, 3, value_dim=8, use_bias=False)(query, value))
    projections = 7 * (6 * 6 + 16 * 6) + 5 * (4 * 6 + 4 * 16)
    assert complexity(model).macs == projections + 7 * 5 * 2 * (3 + 8)
    assert complexity(model).parameters == 6 * 6 + 16 * 6 + 4 * 6 + 4 * 16


def test_layers_called_twice_and_nested_models():
    dense = Dense(4, use_bias=False)
    inner = keras.Sequential([keras.Input((4,)), Dense(4, use_bias=False)])
    found = of((4,), dense, dense, inner, keras.Sequential([keras.Input((4,)), inner]))
    assert (found.macs, found.parameters, found.weights) == (4 * 16, 2 * 16, 2 * 16)


@pytest.mark.parametrize(('solver', 'stages'), [('euler', 1), ('heun', 2), ('rk4', 4)])
def test_ode_block_counts_evaluations_and_one_set_of_weights(solver, stages):
    found = of((4, 4, 3), ODEBlock([QConv2D(3, 1, use_bias=False)], n_steps=5, solver=solver))
    assert (found.macs, found.parameters) == (5 * stages * 16 * 9, 9)


# ---------------------------------------------------------------------------------------------------------------------
# Bits
# ---------------------------------------------------------------------------------------------------------------------


def test_weight_bits():
    found = of((5,), QDense(3, kernel_quantizer=W4, bias_quantizer=B6), QDense(2, kernel_quantizer='ternary(alpha=1)'))
    assert found.weight_bits == 15 * 4 + 3 * 6 + 6 * 2 + 2 * 32
    attention = MultiHeadSelfAttention2D(1, 2, position_quantizer='quantized_bits(5,0,alpha=1)', kernel_quantizer=W4)
    assert of((3, 3, 2), attention).weight_bits == (12 + 4) * 4 + (5 + 5) * 2 * 5
    assert of((5,), Dense(3)).weight_bits == 18 * 32


@pytest.mark.parametrize(
    ('layers', 'weights', 'bits'),
    [
        (lambda: [QConv2D(5, 1, kernel_quantizer=W4, use_bias=False)], 15, 60),
        (lambda: [QConv2D(5, 1, kernel_quantizer=W4, use_bias=False), BatchNormalization()], 20, 60 + 5 * 12),
        (lambda: [QConv2D(5, 1, kernel_quantizer=W4, bias_quantizer=B6), BatchNormalization()], 20, 60 + 5 * 6),
        (lambda: [QConv2D(5, 1, kernel_quantizer=W4, use_bias=False), *(BatchNormalization() for _ in '12')], 20, 120),
        (lambda: [Conv2D(5, 1, use_bias=False), BatchNormalization()], 20, 20 * 32),
        (lambda: [QActivation(W4), BatchNormalization()], 6, 6 * 32),
    ],
)
def test_batch_normalization_is_counted_as_folded(layers, weights, bits):
    found = of((4, 4, 3), *layers(), bias_quantizer='quantized_bits(12,4,alpha=1)')
    assert (found.weights, found.weight_bits) == (weights, bits)


# ---------------------------------------------------------------------------------------------------------------------
# Against other counts
# ---------------------------------------------------------------------------------------------------------------------

NETWORKS = {
    'ode_mhsa': {'widths': [4, 6], 'ode': {'n_steps': [2, 3], 'solver': 'heun'}, 'mhsa': {'heads': 2, 'key_dim': 3}},
    'time_and_additive': {
        'widths': [4], 'ode': {'time_channel': True, 'depth': 2}, 'mhsa': {'heads': 1, 'key_dim': 4, 'position': 'additive'},
    },
    'unshared_dense': {'widths': [4, 6], 'downsample': 'dense', 'shared': False, 'mhsa': {'position': None}},
    'resnet': {'widths': [4, 6], 'blocks': [2, 1]},
}  # fmt: skip


@pytest.mark.parametrize('name', NETWORKS)
def test_equals_the_hardware(name, tmp_path):
    """As the layers of the converted model count, whose weights use all the bits of their quantizers."""
    bits = Quantization(weights=5, biases=10)
    network = builder('resnet' if name == 'resnet' else 'ode_mhsa')
    model = network.build((9, 8, 2), 3, bits, stem={'filters': 3, 'strides': 2}, **NETWORKS[name])
    biases = Quantizers(bits).biases
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='.*beyond the range')
        folded = fold_batchnorm(model, biases)
    hls_model = exactness.convert(exactness.randomize(folded), tmp_path / 'p')
    total = facts.totals(facts.layer_facts(hls_model))
    before, after = complexity(model, biases), complexity(folded)
    assert (before.macs, before.weights, before.weight_bits) == (total['macs'], total['parameters'], total['weight_bits'])
    assert (after.macs, after.weights, after.weight_bits) == (total['macs'], total['parameters'], total['weight_bits'])
    assert after.parameters == after.weights < before.parameters


def test_equals_the_literature():
    """MobileNetV2: 3.50 M parameters, 300 M multiply-accumulates (Sandler et al., arXiv 1801.04381, table 4)."""
    found = complexity(keras.applications.MobileNetV2(weights=None))
    assert (found.parameters, found.macs) == (3_504_872, 300_774_272)
    assert complexity(keras.applications.ResNet50(weights=None)).macs == 3_857_973_248  # 3.8 G (He et al., table 1)


# ---------------------------------------------------------------------------------------------------------------------
# Devices, refusals
# ---------------------------------------------------------------------------------------------------------------------


def test_zcu104():
    device = load_device('zcu104')
    assert device.part.startswith('xczu7ev')
    assert (device.bram_bits, device.uram_bits) == (11_501_568, 28_311_552)
    assert (device.bram_bits / 2**20, device.uram_bits / 2**20) == (pytest.approx(11.0, abs=0.05), 27.0)
    assert Complexity(1, 1, 1, 11_501_568 // 2).bram_share(device) == 0.5
    assert 'zcu104' in device_names()
    for name in device_names():
        load_device(name)
    with pytest.raises(ExtError, match="device 'zcu105' is not one of .*zcu104"):
        load_device('zcu105')


class Scale(keras.layers.Layer):
    """Multiplies each channel by a weight."""

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1],))

    def call(self, inputs):
        return inputs * self.w


def test_own_layers():
    class Unknown(Scale):
        pass

    @macs_of_call.register
    def _(layer: Scale, inputs, output):
        return int(np.prod(output))

    try:
        assert of((4, 3), Unknown()) == Complexity(3, 12, 3, 96)
    finally:
        macs_of_call.register(Scale, macs_of_call.dispatch(object))
    with pytest.raises(ExtError, match="layer 'x': the multiply-accumulates of a Unknown are not known. Register"):
        of((4, 3), Unknown(name='x'))


def test_refusals():
    x = keras.Input((4, 3))
    with pytest.raises(ExtError, match="layer 'matmul.*': the multiply-accumulates of a Matmul are not known"):
        complexity(keras.Model(x, keras.ops.matmul(x, keras.ops.transpose(x, (0, 2, 1)))))
    with pytest.raises(ExtError, match="layer 'conv': its input has shape .*None.* Give the model a fixed input shape"):
        of((None, 8, 2), Conv2D(2, 1, name='conv'))
    with pytest.raises(ConversionError, match='is not built'):
        complexity(keras.Sequential([Dense(2)]))
