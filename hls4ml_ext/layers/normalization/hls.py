"""The C++ of layer normalization."""

from __future__ import annotations

from hls4ml_ext.layers.core.kernel import EnumValue, HLSKernel
from hls4ml_ext.layers.normalization import tables
from hls4ml_ext.layers.normalization.node import WIDTHS, ExactLayerNorm


class LayerNormKernel(HLSKernel):
    node = ExactLayerNorm
    name = 'layer_norm'
    header = 'nnet_layer_norm_ext.h'

    def members(self, node):
        table, gamma, beta = (node.weights[name] for name in ('table', 'gamma', 'beta'))
        # Without gamma, the last one is a product with a constant of 1.
        kinds = ('sum', 'square', 'scale', 'gamma')
        impls = ['dsp' if products.uses_dsp else 'lut' for products in node.products] + ['lut']
        return {
            'n_pixels': node.n_pixels,
            'n_chan': node.channels,
            'simd': int(node.get_attr('simd')),
            'n_table': table.words,
            'n_gamma': gamma.words,
            'n_beta': beta.words,
            'index_bits': tables.INDEX_BITS,
            'normal_bits': tables.NORMAL_BITS,
            'scale_frac': tables.SCALE_FRAC,
            'scale_width': tables.SCALE_FRAC,
            'epsilon': int(node.get_attr('epsilon')),
            'offset': int(node.get_attr('offset')),
            **{name: int(node.get_attr(name)) for name in WIDTHS},
            'acc_width': int(node.get_attr('acc_width')),
            **{f'{kind}_impl': EnumValue('nnet::ext::mult_impl', f'nnet::ext::mult_{i}') for kind, i in zip(kinds, impls)},
            'normal_t': node.get_attr('normal'),
            'table_t': str(table.stored_type),
            'gamma_t': str(gamma.stored_type),
            'beta_t': str(beta.stored_type),
        }
