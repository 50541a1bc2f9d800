"""QKeras quantizers are fixed-point types, to the last case."""

import keras
import numpy as np
import pytest
from qkeras import quantized_bits, quantized_relu

from hls4ml_ext.errors import ConversionError
from hls4ml_ext.fixed import FixedType, fraction_bits
from hls4ml_ext.quantizers import activation_type, quantized_weights, resolve, serialize

ACTIVATIONS = [
    *(f'quantized_bits({b},{i},{s},alpha=1)' for b in (2, 3, 4, 8, 16) for i in (-2, 0, 1, 4) for s in (0, 1)),
    *(f'quantized_bits({b},{i},keep_negative=False,alpha=1)' for b in (1, 2, 8) for i in (-1, 0, 3)),
    *(f'quantized_relu({b},{i})' for b in (1, 2, 4, 8, 16) for i in (0, 1, 4)),
    'quantized_bits(8,2)',
    'quantized_bits(8,2,alpha=1.0)',
]


@pytest.mark.parametrize('text', ACTIVATIONS)
def test_activation_types(text):
    """On every quarter of a step, far into saturation on both sides."""
    quantizer = resolve(text)
    t = activation_type(quantizer, 'layer')
    span = min(2 ** (t.width + 1), 4096)
    centers = np.unique(np.concatenate([np.arange(-span, span), t.lo + np.arange(-9, 10), t.hi + np.arange(-9, 10)]))
    x = (centers[:, None] + np.array([0, 0.25, 0.5, 0.75])).ravel() * 2.0**-t.frac
    # Beyond 2^24 steps QKeras's straight-through x + (q - x) loses the bits of q.
    far = 2.0 ** (22 - t.frac)
    x = np.concatenate([x, [-far, far, 0.0, -0.0]]).astype(np.float32)
    expected = np.asarray(keras.ops.convert_to_numpy(quantizer(keras.ops.convert_to_tensor(x))), np.float64)
    assert (t.quantize(x) == expected).all()
    assert expected.min() >= t.lo * 2.0**-t.frac
    assert expected.max() == t.hi * 2.0**-t.frac


def test_types():
    assert activation_type(quantized_bits(8, 0, alpha=1), 'a') == FixedType(8, 1, True, 'RND_CONV', 'SAT')
    assert activation_type(quantized_bits(8, 2, 1, alpha=1), 'a') == FixedType(8, 3, True, 'RND_CONV', 'SAT_SYM')
    assert activation_type(quantized_relu(6, 2), 'a') == FixedType(6, 2, False, 'RND_CONV', 'SAT')


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('quantized_relu(8,-1)', r'-1 integer bits, and Keras itself cannot evaluate it: .*quantized_bits\(8,-1,keep_neg'),
        ('quantized_relu(8,31)', '31 integer bits; Keras computes .* in 32-bit integers, which overflow'),
        ('quantized_relu(8,2.5)', 'integer=2.5, which is no whole number'),
        ('quantized_bits(8.5,2,alpha=1)', 'bits=8.5, which is no whole number'),
        ('quantized_bits(4,200,alpha=1)', r'numbers beyond 2\*\*60'),
        ('quantized_bits(4,-100,alpha=1)', r'steps finer than 2\*\*-60'),
        ('quantized_relu(0,0)', 'no bit'),
    ],
)
def test_quantizers_that_keras_cannot_evaluate(text, message):
    with pytest.raises(ConversionError, match=f"layer 'layer': quantizer .*{message}"):
        activation_type(resolve(text), 'layer')


def test_what_to_use_instead_of_a_relu_with_negative_integer_bits():
    """The message says what computes the same: a ReLU that rounds."""
    with pytest.raises(ConversionError) as caught:
        activation_type(resolve('quantized_relu(4,-2)'), 'layer')
    quantizer = resolve(caught.value.remedy.removeprefix('Use ').split(', which')[0])
    x = np.float32([-1, -0.01, 0, 0.01, 0.07, 0.1, 0.2, 0.3])
    expected = np.clip(np.rint(x * 64), 0, 15) / 64
    assert (keras.ops.convert_to_numpy(quantizer(keras.ops.convert_to_tensor(x))) == expected).all()
    assert (activation_type(quantizer, 'layer').quantize(x) == expected).all()


@pytest.mark.parametrize('text', ['quantized_relu(4,-1)', 'quantized_relu(4,40)'])
def test_weight_quantizers_that_keras_cannot_evaluate(text):
    with pytest.raises(ConversionError, match="layer 'layer': quantizer .* of kernel has .* integer bits"):
        quantized_weights(resolve(text), np.ones((2, 2), np.float32), 'layer', 'kernel')


WEIGHTS = {
    **{f'quantized_bits({b},0,alpha=1)': FixedType(b, 1) for b in range(2, 9)},
    'quantized_bits(1,0,alpha=1)': FixedType(2, 2),
    'quantized_bits(4,0,keep_negative=False,alpha=1)': FixedType(4, 0, False),
    'quantized_bits(4,2,1,alpha=1)': FixedType(4, 3),
    'binary(alpha=1)': FixedType(2, 2),
    'ternary(alpha=1)': FixedType(2, 2),
}


@pytest.mark.parametrize(('text', 'stored'), WEIGHTS.items())
def test_weights(text, stored):
    w = np.random.default_rng(0).normal(0, 1, (3, 3, 2, 5)).astype(np.float32)
    quantizer = resolve(text)
    quantized, t = quantized_weights(quantizer, w, 'layer', 'kernel')
    assert (quantized == keras.ops.convert_to_numpy(quantizer(keras.ops.convert_to_tensor(w)))).all()
    assert t == stored
    assert (t.quantize(quantized) == quantized).all()


def test_weights_scaled_by_powers_of_two():
    w = np.random.default_rng(0).normal(0, 1, (3, 3, 2, 4)).astype(np.float32) * np.array([1, 2, 4, 0.5], np.float32)
    quantized, t = quantized_weights(resolve("quantized_bits(4,0,1,alpha='auto_po2')"), w, 'layer', 'kernel')
    assert t.width <= 4 + 4
    assert fraction_bits(quantized) == t.frac


def test_zero_weights():
    quantized, t = quantized_weights(resolve('ternary(alpha=1)'), np.full((2, 2), 1e-9, np.float32), 'layer', 'kernel')
    assert not quantized.any()
    assert t.width == 1


@pytest.mark.parametrize(
    'text', ["quantized_bits(4,0,1,alpha='auto')", 'quantized_bits(4,0,alpha=0.3)', "binary(alpha='auto')"]
)
def test_weights_without_a_fixed_point(text):
    w = np.random.default_rng(0).normal(0, 1, (3, 3, 2, 4)).astype(np.float32)
    with pytest.raises(ConversionError, match="layer 'layer': quantizer .* of kernel .*alpha"):
        quantized_weights(resolve(text), w, 'layer', 'kernel')


@pytest.mark.parametrize(
    'identifier', ['quantized_bits(4,1,1,alpha=1)', 'quantized_relu(3,1)', "quantized_bits(4,0,alpha='auto_po2')"]
)
def test_resolve_and_serialize(identifier):
    quantizer = resolve(identifier)
    assert resolve(quantizer) is quantizer
    again = resolve(serialize(quantizer))
    assert type(again) is type(quantizer)
    assert again.get_config() == quantizer.get_config()
    assert resolve(None) is None
    assert serialize(None) is None
