"""The C++ of convolution and dense layers."""

from __future__ import annotations

from hls4ml_ext.errors import ConversionError
from hls4ml_ext.layers.convolution.node import ExactConv2D, ExactDense, ExactDepthwiseConv2D
from hls4ml_ext.layers.convolution.window import WINDOW
from hls4ml_ext.layers.core.folding import MAX_BEAT_BITS
from hls4ml_ext.layers.core.kernel import HLSKernel, Process, multiplier


def window_members(node, border: int = 0) -> dict:
    """The members of the config of a kernel behind a window.

    Args:
        border: Stored integer of a tap outside of the image.

    Raises:
        ConversionError: if a beat of taps is wider than Vitis HLS takes.
    """
    window = node.window
    if window.kind == 'none':
        return {}
    members = {name: getattr(window, name) for name in WINDOW}
    members |= {'window_lanes': window.lanes, 'border': border}
    if window.kind == 'serial':
        members |= {'ring_rows': window.ring_rows, 'window_cycles': window.serial_cycles, 'eager': window.eager}
    x = node.input_type()
    bits = window.taps * window.lanes * x.width
    if bits > MAX_BEAT_BITS:
        raise ConversionError(
            node.name,
            f'{window.taps} taps of {window.lanes} channels have {bits} bits, and Vitis HLS takes at most {MAX_BEAT_BITS}',
            'Raise its ReuseFactor, or lower SIMD or PE',
        )
    element = f'nnet::ext::int_t<{x.width}, {str(x.signed).lower()}>'
    return {**members, 'taps_t': f'nnet::ext::integer_beat<{element}, {window.taps * window.lanes}>'}


def window_process(node) -> list[Process]:
    """The process in front."""
    window = node.window
    if window.kind == 'none':
        return []
    return [Process(f'window_{window.kind}', tuple(m.name for m in node.window_memories()), 'taps_t')]


class WeightedKernel(HLSKernel):
    header = 'nnet_matvec_ext.h'

    def members(self, node):
        weight, bias = node.weights['weight'], node.weights['bias']
        product_frac = node.input_type().frac + weight.stored_type.frac
        acc_frac = max(product_frac, bias.stored_type.frac)
        return {
            'n_vectors': int(node.get_attr('n_vectors')),
            'simd': int(node.get_attr('simd')),
            'pe': int(node.get_attr('pe')),
            'fold_in': node.fold_in,
            'fold_out': node.fold_out,
            'acc_width': int(node.get_attr('acc_width')),
            'acc_frac': acc_frac,
            'product_shift': acc_frac - product_frac,
            'bias_shift': acc_frac - bias.stored_type.frac,
            'weight_width': weight.stored_type.width,
            'weight_signed': weight.stored_type.signed,
            'bias_width': bias.stored_type.width,
            'bias_signed': bias.stored_type.signed,
            'multiplier': multiplier(node),
            'weight_word': weight.type.name,
            'bias_word': bias.type.name,
        }


class MatrixKernel(WeightedKernel):
    def processes(self, node):
        if node.fold_out == 1:
            return [Process('matvec_once', ('weight', 'bias'))]
        return [Process('matvec', ('weight', 'bias', 'vector'))]


class Conv2DKernel(MatrixKernel):
    node = ExactConv2D
    name = 'conv2d'

    def headers(self, node):
        return ['nnet_utils/nnet_window_ext.h', *super().headers(node)]

    def members(self, node):
        return {**super().members(node), **window_members(node)}

    def processes(self, node):
        return [*window_process(node), *super().processes(node)]


class DepthwiseConv2DKernel(WeightedKernel):
    node = ExactDepthwiseConv2D
    name = 'depthwise_conv2d'
    header = 'nnet_depthwise_ext.h'

    def members(self, node):
        return {**super().members(node), **window_members(node)}

    def processes(self, node):
        return [*window_process(node), Process('depthwise', ('weight', 'bias'))]


class DenseKernel(MatrixKernel):
    node = ExactDense
    name = 'dense'
