"""The SystemVerilog of convolution and dense layers."""

from __future__ import annotations

from hls4ml_ext.layers.convolution.node import ExactConv2D, ExactDense, ExactDepthwiseConv2D, WindowMixin
from hls4ml_ext.layers.convolution.timing import WINDOW_LATENCY, Engine, interval, last_steps
from hls4ml_ext.layers.convolution.window import WINDOW
from hls4ml_ext.layers.core.node import ExactLayer, positions
from hls4ml_ext.rtl.body import Body, Stream, Verbatim
from hls4ml_ext.rtl.kernel import (
    FIFO_LATENCY,
    ROUND_TRIP,
    RTLKernel,
    adder_tree_latency,
    depth,
    implementation,
    result_type,
    rom_file,
    style,
    styles,
)

TAPS_IN_FLIGHT = WINDOW_LATENCY + ROUND_TRIP + 1
"""Taps in this pipeline and in the FIFO behind it."""


def place_window(node, body: Body, source: Stream, border: int = 0) -> Stream:
    """Places the window of a node.

    Args:
        border: Stored integer of a tap outside of the image.

    Returns:
        The stream of its taps.
    """
    window, x = node.window, node.input_type()
    if window.kind == 'none':
        return source
    name, width = f'{node.identifier}__window', window.lanes * x.width
    image = {'HEIGHT': window.in_height, 'WIDTH': window.in_width, 'GROUPS': window.groups}
    strides = {'STRIDE_HEIGHT': window.stride_height, 'STRIDE_WIDTH': window.stride_width}
    taps = body.stream(f'{node.identifier}__taps', window.taps * width)
    if window.kind == 'subsample':
        body.engine('ext_window_subsample', name, {**image, **strides, 'W': width}, [source], [taps])
        return taps
    parameters = {
        **image, 'LANES': window.lanes, 'W_X': x.width, 'FILT_HEIGHT': window.filt_height, 'FILT_WIDTH': window.filt_width,
        **strides, 'PAD_TOP': window.pad_top, 'PAD_LEFT': window.pad_left, 'OUT_HEIGHT': window.out_height,
        'OUT_WIDTH': window.out_width, 'BORDER': Verbatim(f"{x.width}'h{border & ((1 << x.width) - 1):x}"),
    }  # fmt: skip
    memories = {m.name: style(m) for m in node.window_memories()}
    if window.kind == 'parallel':
        parameters |= {'OVERLAP': may_overlap(node), 'LINE_STYLE': memories['line'], 'COLUMN_STYLE': memories['columns']}
    else:
        parameters |= {'RING_ROWS': window.ring_rows, 'DEPTH': TAPS_IN_FLIGHT, 'ROW_STYLE': memories['rows']}
    body.engine(f'ext_window_{window.kind}', name, parameters, [source], [taps])
    return taps


def may_overlap(node) -> bool:
    """Whether the window of a node may take pixels of the next image before its last windows are complete.

    In the dynamics of an ODE block the next image is the next evaluation, whose pixels come from what the windows give: they
    may only if all windows together reach less far than an image.
    """
    window = node.window
    pixels = window.in_height * window.in_width
    if window.n_positions - pixels >= pixels:
        return False
    owner = getattr(node.model, 'owner', None)
    if owner is None:
        return True
    if '.' in owner:  # a block in a block: a loop around the loop
        return False
    reach = 0
    for other in node.model.get_layers():
        if isinstance(other, WindowMixin) and other.window.kind != 'none':
            reach += int(other.window.last_pixel[0]) + 1
        elif isinstance(other, ExactLayer) and positions(other.get_attr('out_shape')) > 1:
            if other.last_input_of()[0] >= other.input_beats() - 1:  # it needs the whole image
                return False
    return reach < pixels


class WindowKernel(RTLKernel):
    """A window, if there is one, and the engine behind it."""

    module = ''

    def place(self, node, body, inputs, outputs):
        body.engine(self.module, node.identifier, self.parameters(node), [self.taps(node, body, inputs[0])], outputs)

    def taps(self, node, body: Body, source: Stream) -> Stream:
        return place_window(node, body, source)

    def parameters(self, node) -> dict:
        """Those of the engine."""
        raise NotImplementedError

    @staticmethod
    def pipeline(node) -> int:
        """Cycles from a step of the engine to its outputs."""
        raise NotImplementedError

    def engine(self, node) -> Engine:
        """What its timing depends on."""
        window = node.window
        geometry = tuple(int(window.geometry[name]) for name in WINDOW)
        return Engine(
            geometry,
            window.lanes,
            window.kind,
            window.beats,
            self.repeats(node),
            TAPS_IN_FLIGHT,
            window.kind == 'parallel' and may_overlap(node),
        )

    def repeats(self, node) -> int:
        """How often the taps of a pixel are used again."""
        return 0

    def ahead(self, node):
        window = node.window
        if window.kind != 'parallel' or not may_overlap(node):
            return 0
        return max(window.n_positions - window.in_height * window.in_width, 0) * window.groups

    def idles(self, node):
        return node.window.groups if self.ahead(node) else 0  # an idle pixel

    def cycles(self, node):
        return last_steps(self.engine(node))[0] + 1 - self.window_latency(node)

    def interval(self, node):
        return interval(self.engine(node))

    def latency(self, node):
        return self.window_latency(node) + self.pipeline(node) + FIFO_LATENCY

    def pipelines(self, node):
        work = self.pipeline(node) + FIFO_LATENCY
        return (work,) if node.window.kind == 'none' else (self.window_latency(node), work)

    @staticmethod
    def window_latency(node) -> int:
        kind = node.window.kind
        return 0 if kind == 'none' else FIFO_LATENCY + (WINDOW_LATENCY if kind == 'serial' else 0)


class WeightedKernel(WindowKernel):
    """A window, if there is one, and a matrix or depthwise engine."""

    def parameters(self, node) -> dict:
        x, weight, bias = node.input_type(), node.weights['weight'].stored_type, node.weights['bias'].stored_type
        product_frac = x.frac + weight.frac
        frac = max(product_frac, bias.frac)
        memories = styles(node)
        return {
            'SIMD': node.get_attr('simd'), 'PE': node.get_attr('pe'), 'FOLD_IN': node.fold_in, 'FOLD_OUT': node.fold_out,
            'W_X': x.width, 'X_SIGNED': x.signed, 'W_W': weight.width, 'W_SIGNED': weight.signed,
            'PRODUCT_SHIFT': frac - product_frac, 'W_B': bias.width, 'B_SIGNED': bias.signed, 'BIAS_SHIFT': frac - bias.frac,
            'W_A': node.get_attr('acc_width'), **result_type(node.result_type, frac),
            'IMPL': implementation(node.products),
            'DEPTH': depth(node, self.pipeline(node), node.fold_in),
            'WEIGHTS': rom_file(node, 'weight'), 'BIASES': rom_file(node, 'bias'),
            'WEIGHT_STYLE': memories['weight'], 'BIAS_STYLE': memories['bias'],
        }  # fmt: skip

    def pace(self, node):
        return node.fold_in, 1

    @staticmethod
    def pipeline(node) -> int:
        """Cycles from a step to its outputs; see ``ext_matvec``."""
        return 6 + adder_tree_latency(int(node.get_attr('simd')))


class MatrixKernel(WeightedKernel):
    module = 'ext_matvec'

    @classmethod
    def pipeline(cls, node):
        return super().pipeline(node) + cls.shares_dsps(node)

    @staticmethod
    def shares_dsps(node) -> bool:
        """Whether two products share a DSP; see ``ext_multiply_pair``."""
        x, w = node.input_type(), node.weights['weight'].stored_type
        x_bits, w_bits = x.width + (not x.signed), w.width + (not w.signed)
        return implementation(node.products) == 'dsp' and int(node.get_attr('pe')) > 1 and x_bits + 2 * w_bits + 1 <= 27

    def parameters(self, node):
        memories = styles(node)
        return {**super().parameters(node), **({'VECTOR_STYLE': memories['vector']} if 'vector' in memories else {})}

    def repeats(self, node):
        return node.fold_out - 1


class Conv2DKernel(MatrixKernel):
    node = ExactConv2D


class DepthwiseConv2DKernel(WeightedKernel):
    node = ExactDepthwiseConv2D
    module = 'ext_depthwise'


class DenseKernel(MatrixKernel):
    node = ExactDense

    def taps(self, node, body, source):
        return source

    def ahead(self, node):
        return 0

    def cycles(self, node):
        return node.cycles

    def interval(self, node):
        return node.cycles

    def pipelines(self, node):
        return (self.latency(node),)

    @staticmethod
    def window_latency(node):
        return 0
