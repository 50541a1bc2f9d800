"""Where memories live, and how many blocks they take; against the shapes of UG573."""

import pytest

from hls4ml_ext.layers.core import Memory, Products


@pytest.mark.parametrize(
    ('words', 'kind', 'impl'),
    [
        (1, 'rom', 'wires'),
        (1, 'ram', 'registers'),
        (2, 'ram', 'lutram'),
        (64, 'rom', 'lutram'),
        (65, 'rom', 'bram'),
        (2047, 'ram', 'bram'),
        (2048, 'ram', 'uram'),
        (2048, 'rom', 'bram'),  # a bitstream can't fill UltraRAM
    ],
)
def test_storage_follows_from_depth(words, kind, impl):
    assert Memory('m', words, 4, 8, kind).impl == impl


@pytest.mark.parametrize(
    ('words', 'bits', 'blocks'),
    [(512, 36, 1), (512, 37, 2), (512, 72, 2), (1024, 18, 1), (1024, 36, 2), (2048, 9, 1), (4096, 4, 1), (8192, 2, 1)]
    + [(16384, 1, 1), (32768, 1, 2), (100, 36, 1), (513, 36, 2), (1500, 20, 3)],
)
def test_block_rams(words, bits, blocks):
    assert Memory('m', words, bits, 1, 'rom', storage='bram').bram18 == blocks
    assert Memory('m', words, bits, 1, 'rom', storage='lutram').bram18 == 0


@pytest.mark.parametrize(('words', 'bits', 'blocks'), [(4096, 72, 1), (4096, 73, 2), (4097, 72, 2), (2048, 96, 2)])
def test_ultra_rams(words, bits, blocks):
    assert Memory('m', words, bits, 1, banks=3).uram == 3 * blocks
    assert Memory('m', words, bits, 1).bram18 == 0


@pytest.mark.parametrize(
    ('widths', 'impl', 'dsp'),
    [((8, 4), 'auto', 0), ((8, 8), 'auto', 1), ((8, 4), 'dsp', 1), ((8, 8), 'lut', 0), ((27, 18), 'auto', 1)]
    + [((28, 18), 'auto', 2), ((19, 20), 'auto', 2)],
)
def test_products(widths, impl, dsp):
    assert Products(5, widths, impl).dsp == 5 * dsp


def test_usage_of_a_device():
    from hls4ml_ext.devices import device_of_part
    from hls4ml_ext.report.tables import usage

    total = {'bram_18k': 241, 'uram': 16, 'dsp': 97}
    assert usage(total, 'xczu7ev-ffvc1156-2-e') == (
        '120.5 of 312 block RAMs (39%), 16 of 96 UltraRAMs (17%), 97 of 1,728 DSPs (6%) of the ZCU104'
    )
    assert usage(total, 'xcvu9p-flgb2104-2-i') == '120.5 block RAMs, 16 UltraRAMs, 97 DSPs'
    assert device_of_part('XCZU7EV-ffvf1517-1-e').board == 'ZCU104'
