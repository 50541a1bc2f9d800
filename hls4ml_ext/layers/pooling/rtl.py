"""The SystemVerilog of pooling layers."""

from __future__ import annotations

from hls4ml_ext.layers.convolution.rtl import WindowKernel, place_window
from hls4ml_ext.layers.core.node import positions
from hls4ml_ext.layers.pooling.node import ExactGlobalPooling2D, ExactPooling2D
from hls4ml_ext.rtl.kernel import FIFO_LATENCY, RTLKernel, depth, implementation, result_type


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
        **result_type(node.result_type, frac), 'IMPL': implementation(node.products),
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


class Pool2DKernel(WindowKernel):
    node = ExactPooling2D
    module = 'ext_pool'

    def taps(self, node, body, source):
        # A tap outside of the image never is the largest; averages have none.
        border = node.input_type().lo if node.get_attr('op') == 'max' else 0
        return place_window(node, body, source, border)

    def parameters(self, node):
        return pool_parameters(node, node.window.n_taps, 1)

    @staticmethod
    def pipeline(node):
        return pipeline(node)
