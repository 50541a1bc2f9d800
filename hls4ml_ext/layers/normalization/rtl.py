"""The SystemVerilog of layer normalization."""

from __future__ import annotations

from hls4ml_ext.layers.normalization import tables
from hls4ml_ext.layers.normalization.node import ExactLayerNorm
from hls4ml_ext.rtl.kernel import (
    FIFO_LATENCY,
    RTLKernel,
    adder_tree_latency,
    depth,
    implementation,
    result_type,
    rom_file,
    styles,
)

NORMALIZE = 9
"""Cycles of ``ext_normalize``."""


def moments(node) -> int:
    """Cycles of ``ext_moments``."""
    return 9 + adder_tree_latency(int(node.get_attr('simd')))


class LayerNormKernel(RTLKernel):
    node = ExactLayerNorm

    def place(self, node, body, inputs, outputs):
        a, x, normal = node.attributes, node.input_type(), node.normal_type
        table, gamma, beta = (node.weights[name] for name in ('table', 'gamma', 'beta'))
        scaled_frac = normal.frac + gamma.stored_type.frac
        frac = max(scaled_frac, beta.stored_type.frac)
        impls = [implementation([p]) for p in node.products]
        memories = styles(node)
        parameters = {
            'SIMD': a['simd'], 'GROUPS': node.reuse, 'W_X': x.width, 'X_SIGNED': x.signed, 'OFFSET': a['offset'],
            'W_C': a['x_width'], 'W_SUM': a['sum_width'], 'W_SQUARE': a['square_width'], 'W_V': a['variance_width'],
            'EPSILON': a['epsilon'], 'W_D': a['deviation_width'], 'W_P': a['product_width'],
            'W_N': normal.width, 'N_SHIFT': tables.SCALE_FRAC - normal.frac, 'N_ROUNDING': normal.rounding,
            'N_SATURATION': normal.saturation, 'SCALED': bool(a['scaled']),
            'W_GAMMA': gamma.stored_type.width, 'GAMMA_SIGNED': gamma.stored_type.signed,
            'W_BETA': beta.stored_type.width, 'BETA_SIGNED': beta.stored_type.signed,
            'SCALED_SHIFT': frac - scaled_frac, 'BETA_SHIFT': frac - beta.stored_type.frac,
            'W_A': a['acc_width'], **result_type(node.result_type, frac),
            **dict(zip(('SUM_IMPL', 'SQUARE_IMPL', 'SCALE_IMPL', 'GAMMA_IMPL'), impls)),
            'DEPTH': depth(node, NORMALIZE), 'TABLE': rom_file(node, 'table'), 'GAMMAS': rom_file(node, 'gamma'),
            'BETAS': rom_file(node, 'beta'), 'GAMMA_WORDS': gamma.words, 'BETA_WORDS': beta.words,
            **{f'{name.upper()}_STYLE': memories[name] for name in ('table', 'gamma', 'beta', 'pixel')},
        }  # fmt: skip
        body.engine('ext_layer_norm', node.identifier, parameters, inputs, outputs)

    def interval(self, node):
        """The first pixel of an image comes in while the last one before it goes out."""
        return node.n_beats

    def latency(self, node):
        # A pixel passes moments and the FIFO of its statistics, then ext_normalize and the FIFO of the results.
        return moments(node) + FIFO_LATENCY + NORMALIZE + FIFO_LATENCY - 1
