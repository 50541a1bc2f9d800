"""The residual add in RTL."""

import keras
import pytest
from exactness import INPUT, randomize
from qkeras import QActivation, QConv2D
from rtl import PRESSURES, RTLTest, assert_cycles, assert_rtl_exact, compiled, inputs_of, separate

from hls4ml_ext.layers.merge.node import ExactAdd

TYPES = {
    'same': INPUT,
    'coarse': 'quantized_bits(4,2,alpha=1)',
    'fine': 'quantized_bits(10,-1,alpha=1)',
    'unsigned': 'quantized_relu(6,2)',
    'symmetric': 'quantized_bits(5,0,1,alpha=1)',
    'wide': 'quantized_bits(14,3,alpha=1)',
    'single_bit': 'quantized_relu(1,1)',
}


def conv(name, filters=3, size=1):
    kernel = 'quantized_bits(5,1,alpha=1)'
    return QConv2D(filters, size, padding='same', kernel_quantizer=kernel, use_bias=False, name=name)


def sums(shape):
    """Two inputs for each pair of types; their sum, with and without a quantizer behind; beside it a slow layer."""
    inputs, outputs, quantizers = [], [], []
    for i, (name, q) in enumerate(TYPES.items()):
        quantizers += [INPUT, q] if i % 2 else [q, INPUT]
        inputs += [keras.Input(shape, name=f'{name}_{side}') for side in 'ab']
        terms = [QActivation(quantizers[j], name=f'{name}_q{j}')(inputs[j]) for j in (-2, -1)]
        x = keras.layers.Add(name=f'{name}_add')(terms)
        outputs.append(x if name in ('fine', 'wide') else QActivation('quantized_bits(6,1,alpha=1)', name=f'{name}_r')(x))
    inputs.append(keras.Input(shape, name='slow'))
    quantizers.append(INPUT)
    outputs.append(conv('slow_c')(QActivation(INPUT, name='slow_q')(inputs[-1])))
    return randomize(keras.Model(inputs, outputs)), tuple(quantizers)


@pytest.mark.parametrize(('shape', 'folding', 'lanes'), [((3, 4, 3), 1, {3}), ((1, 2, 150), 'largest', {1})])
def test_types(shape, folding, lanes, tmp_path):
    """In whole pixels; in narrow beats, which some of the inputs have, too: pixels of more than 1,024 bits."""
    model, quantizers = sums(shape)
    hls_model = compiled(model, tmp_path / 'p', folding)
    assert {n.lanes_out for n in hls_model.get_layers() if isinstance(n, ExactAdd)} >= lanes
    x = inputs_of(model, 1, quantizers)
    assert_rtl_exact(model, hls_model, x, PRESSURES[:3])
    assert_cycles(hls_model, x, of=ExactAdd)


def three(x):
    return keras.layers.Add(name='three')([x, conv('t1')(x), conv('t2')(x)])


def chain(x):
    """Residual blocks in a row, each skip longer than the next."""
    for i, size in enumerate((1, 3, 5)):
        y = QActivation('quantized_bits(6,1,alpha=1)', name=f'a{i}')(conv(f'c{i}', 4, size)(x))
        x = QActivation('quantized_relu(7,2)', name=f'r{i}')(keras.layers.Add(name=f'add{i}')([x, y]))
    return x


class TestResiduals(RTLTest):
    """The short branch holds what the long one needs: nothing hangs, and nothing is lost."""

    models = {'networks': lambda: separate({'three': (3, 4, 3), 'chain': (6, 5, 4)}, {'three': three, 'chain': chain})}
    foldings = (1, 'mixed')
    cycles = False
