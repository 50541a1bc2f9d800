"""The SystemVerilog of pooling layers."""

from __future__ import annotations

from hls4ml_ext.layers.convolution.rtl import WINDOW_LATENCY, place_window
from hls4ml_ext.layers.convolution.window import Window
from hls4ml_ext.layers.core.node import positions
from hls4ml_ext.layers.pooling.node import ExactGlobalPooling2D, ExactPooling2D
from hls4ml_ext.rtl.kernel import FIFO_LATENCY, RTLKernel, depth, result_type


def pipeline(node) -> int:
    """Cycles of ``ext_pool`` without its FIFO."""
    return 3 + (int(node.get_attr('scale')) > 1)


def pool_parameters(node, taps: int, groups: int) -> dict:
    """The parameters of ``ext_pool``.

    Args:
        taps: Of an output.
        groups: Beats of a tap.
    """
    x = node.input_type()
    frac = x.frac + int(node.get_attr('scale_frac'))
    return {
        'LANES': node.lanes_out, 'TAPS': taps, 'GROUPS': groups, 'OP': node.get_attr('op'), 'W_X': x.width,
        'X_SIGNED': x.signed, 'W_S': node.get_attr('sum_width'), 'SCALE': node.get_attr('scale'),
        **result_type(node.result_type, frac), 'IMPL': 'dsp' if any(p.uses_dsp for p in node.products) else 'lut',
        'DEPTH': depth(node, pipeline(node), taps if groups == 1 else 1),
    }  # fmt: skip


class GlobalPoolingKernel(RTLKernel):
    node = ExactGlobalPooling2D

    def place(self, node, body, inputs, outputs):
        parameters = pool_parameters(node, positions(node.input_shape()), node.n_beats)
        body.engine('ext_pool', node.identifier, parameters, inputs, outputs)

    def cycles(self, node):
        """The results go out while the last pixel comes in."""
        return node.input_beats()

    def latency(self, node):
        return pipeline(node) + FIFO_LATENCY


class Pool2DKernel(RTLKernel):
    node = ExactPooling2D

    def place(self, node, body, inputs, outputs):
        # A tap outside of the image never is the largest; averages have none.
        border = node.input_type().lo if node.get_attr('op') == 'max' else 0
        taps = place_window(node, body, inputs[0], border)
        body.engine('ext_pool', node.identifier, pool_parameters(node, node.window.n_taps, 1), [taps], outputs)

    def cycles(self, node):
        """Up to the last output, for which the last pixels may not be needed."""
        window = node.window
        if window.kind == 'serial':
            return serial_cycles(window)
        return node.cycles if window.kind == 'none' else int(window.last_pixel[-1] + 1) * window.groups

    def latency(self, node):
        windows = {'none': 0, 'subsample': FIFO_LATENCY, 'serial': WINDOW_LATENCY + FIFO_LATENCY}
        return windows[node.window.kind] + pipeline(node) + FIFO_LATENCY


def serial_cycles(window: Window) -> int:
    """Cycles from the first beat into ``ext_window_serial`` to the last tap that it reads, if nothing else keeps it waiting.

    Beats come in, one a cycle, as far as the ring has room: a row of outputs makes room, two cycles behind its last tap, for
    the rows that it needs no more.
    """
    needed = window.needed.reshape(window.out_height, window.out_width).tolist()
    row_words = window.in_width * window.groups
    time, since, words = 0, 0, 0  # of the next tap; `words` had come by the cycle `since`
    limit = window.ring_rows * row_words
    earlier = (since, words)
    for row, needed_by_row in enumerate(needed):
        if row:
            earlier, since = (since, words), time + 1
            words = min(words + since - earlier[0], limit)
            top = max(row * window.stride_height - window.pad_top, 0)
            limit = (window.ring_rows + top) * row_words
        for need in needed_by_row:
            start, there = (since, words) if need > words else earlier
            time = max(time, start + need - there) + window.beats
    return time
