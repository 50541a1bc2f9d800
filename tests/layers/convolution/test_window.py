"""The schedule of serial windows: no pixel is overwritten before its last use, for every small geometry."""

import itertools

import pytest

from hls4ml_ext.layers.convolution.window import WINDOW, Window


def geometries(height, width):
    """All windows on a map of that size: sizes, strides, paddings, one or two groups of lanes."""
    sizes, strides = (1, 2, 3, 5), (1, 2, 3)
    for kh, kw, sh, sw, same, channels in itertools.product(sizes, sizes, strides, strides, (False, True), (1, 2)):
        if kh * kw == 1 or (not same and (kh > height or kw > width)):
            continue
        shape = (-(-height // sh), -(-width // sw)) if same else ((height - kh) // sh + 1, (width - kw) // sw + 1)
        pads = [max((n - 1) * s + k - m, 0) // 2 if same else 0
                for n, s, k, m in zip(shape, (sh, sw), (kh, kw), (height, width))]  # fmt: skip
        yield dict(zip(WINDOW, (height, width, channels, kh, kw, sh, sw, *pads, *shape)))


@pytest.mark.parametrize('height', [1, 2, 3, 5, 8])
@pytest.mark.parametrize('width', [1, 2, 4, 7])
def test_ring_of_rows(height, width):
    for geometry in geometries(height, width):
        window = Window(geometry, 1, 'serial')
        before, after = window.serial_schedule
        assert (before >= window.needed).all() and (before[1:] == after[:-1]).all()
        assert after[-1] == height * width * window.groups
        ring = window.ring_rows * width * window.groups
        for n, end in enumerate(after):
            row, col = divmod(n, window.out_width)
            top, left = (
                max(row * window.stride_height - window.pad_top, 0),
                max(col * window.stride_width - window.pad_left, 0),
            )
            first = (top * width + left) * window.groups  # the oldest beat of this window
            assert end - ring <= first, (geometry, n)


def test_cycles_of_a_window_of_stride_one_are_those_of_its_pixels_and_its_fill():
    geometry = dict(zip(WINDOW, (12, 10, 8, 3, 3, 1, 1, 1, 1, 12, 10)))
    parallel = Window(geometry, 4, 'parallel')
    assert parallel.cycles(2) == (10 + 1) * 2 + 12 * 10 * 2
    assert parallel.cycles(7) == (10 + 1) * 2 + 12 * 10 * 7
    serial = Window(geometry, 4, 'serial')
    assert serial.beats == 9 * 2
    assert serial.cycles(18) == (10 + 2) * 2 + 12 * 10 * 18
