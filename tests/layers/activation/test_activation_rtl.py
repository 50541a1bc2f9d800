"""Rounding in RTL."""

import keras
import pytest
from qkeras import QActivation, QConv2D
from rtl import PRESSURES, assert_cycles, assert_rtl_exact, compiled, inputs_of, separate

from hls4ml_ext.layers.activation.node import ExactQuantize

QUANTIZERS = (
    'quantized_bits(4,0,alpha=1)',
    'quantized_bits(4,0,1,alpha=1)',
    'quantized_bits(3,1,alpha=1)',
    'quantized_bits(2,-3,alpha=1)',
    'quantized_bits(16,2,alpha=1)',
    'quantized_bits(4,0,keep_negative=False,alpha=1)',
    'quantized_bits(1,0,keep_negative=False,alpha=1)',
    'quantized_relu(8,0)',
    'quantized_relu(1,0)',
    'quantized_relu(4,2)',
)


def slow():
    return QConv2D(5, 1, kernel_quantizer='quantized_bits(3,0,alpha=1)', use_bias=False, name='slow')


@pytest.mark.parametrize(('shape', 'folding'), [((3, 4, 6), 1), ((1, 3, 150), 'largest')])
@pytest.mark.parametrize('source', ['quantized_bits(8,0,alpha=1)', 'quantized_relu(7,2)'])
def test_quantizers(source, shape, folding, tmp_path):
    """Behind the quantizer of the input; in a pixel's lanes; in one lane, which pixels of more than 1,024 bits have."""
    layers = {f'q{i}': QActivation(q, name=f'q{i}') for i, q in enumerate(QUANTIZERS)}
    layers |= {'relu': keras.layers.ReLU(name='relu'), 'slow': slow()}
    model = separate(shape, layers, source)
    hls_model = compiled(model, tmp_path / 'p', folding)
    kinds = [n for n in hls_model.get_layers() if isinstance(n, ExactQuantize)]
    assert len(kinds) >= len(QUANTIZERS) and (shape[-1] if folding == 1 else 1) in {n.lanes_out for n in kinds}
    x = inputs_of(model, 1, source)
    assert_rtl_exact(model, hls_model, x, PRESSURES[:3])
    assert_cycles(hls_model, x, of=ExactQuantize)
