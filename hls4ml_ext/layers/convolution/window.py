"""The geometry of a sliding window, and what it costs to slide it."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from hls4ml_ext.errors import ConversionError
from hls4ml_ext.layers.core.memory import Memory

WINDOW = (
    'in_height', 'in_width', 'n_chan', 'filt_height', 'filt_width', 'stride_height', 'stride_width',
    'pad_top', 'pad_left', 'out_height', 'out_width',
)  # fmt: skip
"""The attributes of a node with a window."""


def window_attributes(layer, in_shape: list[int], out_shape: list[int], size, name: str) -> dict[str, int]:
    """The geometry of a Keras convolution or pooling layer with padding 'same' or 'valid'.

    Args:
        in_shape, out_shape: (height, width, channels).
        size: (height, width) of the window.
        name: Name of the layer, for messages.
    """
    if len(in_shape) != 3:
        raise ConversionError(name, f'its input has shape {tuple(in_shape)}', 'Use tensors of (height, width, channels)')
    if layer.data_format != 'channels_last':
        raise ConversionError(name, f'data_format is {layer.data_format!r}', "Use 'channels_last'")
    if tuple(getattr(layer, 'dilation_rate', (1, 1))) != (1, 1):
        raise ConversionError(name, f'dilation_rate is {layer.dilation_rate}', 'Use a dilation rate of 1')
    if layer.padding not in ('same', 'valid'):
        raise ConversionError(name, f'padding is {layer.padding!r}', "Use 'same' or 'valid'")
    pads = []
    for n_in, n_out, k, s in zip(in_shape, out_shape, size, layer.strides):
        pads.append(max((n_out - 1) * s + k - n_in, 0) // 2 if layer.padding == 'same' else 0)
    values = (*in_shape, *size, *layer.strides, *pads, *out_shape[:2])
    return dict(zip(WINDOW, map(int, values)))


def pointwise_window(in_shape) -> dict[str, int]:
    """The window of a 1x1 convolution."""
    height, width, channels = in_shape
    return dict(zip(WINDOW, (height, width, channels, 1, 1, 1, 1, 0, 0, height, width)))


class Window:
    """A window that slides over beats of some lanes, and gives all taps of each output pixel, group of lanes by group.

    Pixels are numbered in raster order, ``row * in_width + col``; the window of an output is complete with the pixel
    ``last_pixel``, and simply runs on over the end of a row: taps outside of the image are masked. There are four kinds:

    * 'none': a 1x1 window of stride 1 is the stream itself;
    * 'subsample': a 1x1 window of larger strides drops pixels;
    * 'parallel': all taps of a group in one cycle, from a line buffer and the columns that have come before;
    * 'serial': a tap a cycle, read from a ring of rows.

    Args:
        geometry: The values of :data:`WINDOW`.
        lanes: Channels in a beat.
        kind: See above.
    """

    def __init__(self, geometry: dict[str, int], lanes: int, kind: str):
        self.geometry, self.lanes, self.kind = geometry, lanes, kind
        for name in WINDOW:
            setattr(self, name, int(geometry[name]))

    @staticmethod
    def kinds(geometry) -> tuple[str, ...]:
        """The kinds that a window can be made as."""
        height, width = geometry['filt_height'], geometry['filt_width']
        if height * width == 1:
            return ('none',) if geometry['stride_height'] * geometry['stride_width'] == 1 else ('subsample',)
        return ('parallel', 'serial') if height > 1 and width > 1 else ('serial',)

    @property
    def n_taps(self) -> int:
        return self.filt_height * self.filt_width

    @property
    def taps(self) -> int:
        """Taps in a cycle."""
        return self.n_taps if self.kind == 'parallel' else 1

    @property
    def groups(self) -> int:
        """Beats of a pixel."""
        return self.n_chan // self.lanes

    @property
    def beats(self) -> int:
        """Beats that it gives for an output pixel: groups, and their taps where these come one by one."""
        return self.groups * self.n_taps // self.taps

    @property
    def eager(self) -> bool:
        """Whether a serial window reads rows ahead: with strides, whole rows come between two rows of outputs."""
        return self.stride_height > 1

    @property
    def ring_rows(self) -> int:
        """Rows that a serial window holds: those of the window, and those that come before the next row of outputs."""
        return min(self.filt_height + self.stride_height, self.in_height)

    @cached_property
    def last_pixel(self) -> np.ndarray:
        """For each output pixel, the number of the pixel that completes its window; it may lie beyond the image."""
        first = (self.filt_height - 1 - self.pad_top) * self.in_width + self.filt_width - 1 - self.pad_left
        rows = np.arange(self.out_height)[:, None] * self.stride_height * self.in_width
        return (rows + np.arange(self.out_width)[None, :] * self.stride_width + first).ravel()

    @property
    def n_positions(self) -> int:
        """Pixels until the last output is out and the last pixel is in."""
        return max(int(self.last_pixel[-1]) + 1, self.in_height * self.in_width)

    @cached_property
    def needed(self) -> np.ndarray:
        """Input beats that have to be there before an output pixel: up to the last one of its window inside of the image."""
        rows = np.arange(self.out_height)[:, None] * self.stride_height - self.pad_top + self.filt_height - 1
        cols = np.arange(self.out_width)[None, :] * self.stride_width - self.pad_left + self.filt_width - 1
        pixels = rows * self.in_width + np.minimum(cols, self.in_width - 1) + 1
        return np.minimum(pixels, self.in_height * self.in_width).ravel() * self.groups

    @cached_property
    def serial_schedule(self) -> tuple[np.ndarray, np.ndarray]:
        """For a serial window: input beats that have been read before each output pixel, and after it."""
        total = self.in_height * self.in_width * self.groups
        after = np.append(self.needed[1:], total)
        if self.eager:
            top = np.maximum(np.arange(self.out_height) * self.stride_height - self.pad_top, 0)
            room = np.repeat(np.minimum((top + self.ring_rows) * self.in_width * self.groups, total), self.out_width)
            read = int(self.needed[0])
            for n, (must, may) in enumerate(zip(after.tolist(), room.tolist())):
                after[n] = read = max(must, min(may, read + self.beats))
        return np.concatenate([self.needed[:1], after[:-1]]), after

    def cycles(self, per_pixel: int) -> int:
        """Cycles for one image where the engine behind it takes `per_pixel` cycles for an output pixel."""
        if self.kind == 'none':
            return self.out_height * self.out_width * per_pixel
        if self.kind == 'serial':
            before, after = self.serial_schedule
            return int(before[0] + np.maximum(max(per_pixel, self.beats), after - before).sum())
        steps = np.diff(self.last_pixel) * self.groups
        rest = max((self.n_positions - 1 - int(self.last_pixel[-1])) * self.groups, 0)
        return int(
            self.last_pixel[0] * self.groups + np.maximum(per_pixel, steps).sum() + max(per_pixel, self.groups) + rest
        )

    @property
    def serial_cycles(self) -> int:
        """Iterations of the loop of a serial window."""
        before, after = self.serial_schedule
        return int(before[0] + np.maximum(self.beats, after - before).sum())

    def per_pixel(self, slices: int) -> int:
        """Cycles an output pixel, with strides and without the borders, if the engine takes `slices`."""
        return max(slices, self.beats, self.groups * self.stride_height * self.stride_width if self.kind != 'none' else 0)

    def last_input_of(self, beats_out: int, whole_pixel: bool) -> np.ndarray:
        """For each output beat the last input beat that has been read; see :meth:`ExactLayer.last_input_of`.

        Args:
            beats_out: Output beats of a pixel.
            whole_pixel: Whether an output beat needs all groups of the pixel, or only its own.
        """
        total = self.in_height * self.in_width * self.groups
        if self.kind == 'serial':
            before, after = self.serial_schedule
            done = np.full(beats_out, self.beats) if whole_pixel else (np.arange(beats_out) + 1) * self.beats // beats_out
            return (np.minimum(before[:, None] + done[None, :], after[:, None]) - 1).ravel().clip(0)
        group = np.full(beats_out, self.groups - 1) if whole_pixel else np.arange(beats_out) * self.groups // beats_out
        return np.minimum(self.last_pixel[:, None] * self.groups + group[None, :], total - 1).ravel().clip(0)

    def memories(self, width: int, signed: bool) -> list[Memory]:
        """The RAMs, for integers of `width` bits."""
        words = self.in_width * self.groups
        if self.kind == 'serial':
            return [Memory('rows', self.ring_rows * words, self.lanes, width, signed=signed)]
        if self.kind == 'parallel':
            columns = self.filt_height * (self.filt_width - 1) * self.lanes
            return [
                Memory('line', words, (self.filt_height - 1) * self.lanes, width, signed=signed),
                Memory('columns', self.groups, columns, width, signed=signed),
            ]
        return []
