"""Repacks in RTL: from every width to every other, one after the other."""

import itertools

import pytest
from qkeras import QActivation, QConv2D
from rtl import PRESSURES, assert_cycles, assert_rtl_exact, compiled, inputs_of, separate

from hls4ml_ext.layers.repack.node import ExactRepack


def layer(name):
    return QConv2D(12, 1, kernel_quantizer='quantized_bits(3,0,alpha=1)', use_bias=False, name=name)


@pytest.mark.parametrize('widths', [(1, 2, 3, 4), pytest.param((2, 4, 6, 12), marks=pytest.mark.slow)])
def test_widths(widths, tmp_path):
    """A layer of n lanes feeds one of m lanes, with any number of repacks between them."""
    pairs = list(itertools.product(widths, widths))
    layers, settings = {}, {}
    for n, m in pairs:
        a, b = f'a{n}_{m}', f'b{n}_{m}'
        layers[f'from{n}_{m}'] = [layer(a), QActivation('quantized_relu(5,3)', name=f'q{n}_{m}'), layer(b)]
        settings |= {a: {'SIMD': 12, 'PE': n}, b: {'SIMD': m, 'PE': 12}}
    model = separate((2, 3, 12), layers)
    hls_model = compiled(model, tmp_path / 'p', hls_config={'LayerName': settings})
    found = {(n.lanes_in(), n.lanes_out) for n in hls_model.get_layers() if isinstance(n, ExactRepack)}
    assert {pair for pair in pairs if pair[0] != pair[1] and max(pair) % min(pair) == 0} <= found
    assert_rtl_exact(model, hls_model, inputs_of(model, 1), PRESSURES[:3])


def test_cycles(tmp_path):
    """In front of and behind layers that take and give a beat a cycle."""
    layers, settings = {}, {}
    for n in (1, 2, 3, 4, 6):
        layers |= {f'narrow{n}_b': layer(f'narrow{n}'), f'wide{n}_b': layer(f'wide{n}')}
        settings |= {f'narrow{n}': {'SIMD': n, 'PE': 12}, f'wide{n}': {'SIMD': 12, 'PE': n}}
    hls_model = compiled(separate((2, 3, 12), layers), tmp_path / 'p', hls_config={'LayerName': settings})
    assert sum(isinstance(n, ExactRepack) for n in hls_model.get_layers()) == 10
    assert_cycles(hls_model, inputs_of(hls_model.config.get_config_value('KerasModel')), of=ExactRepack)
