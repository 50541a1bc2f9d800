"""Graph node, template and lowerings of normalization layers."""

from __future__ import annotations

import numpy as np
from hls4ml.model.attributes import Attribute, TypeAttribute, WeightAttribute

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError
from hls4ml_ext.fixed import FixedType
from hls4ml_ext.layers.convolution.folding import choose_folding, storage_pragmas, weight_attributes, weight_settings
from hls4ml_ext.layers.convolution.lowering import sum_of_products
from hls4ml_ext.layers.core import ExactConfigTemplate, ExactFunctionTemplate, ExactLayer
from hls4ml_ext.layers.core.templates import multiplier
from hls4ml_ext.layers.normalization import tables

WIDTHS = ('x_width', 'sum_width', 'square_width', 'variance_width', 'deviation_width', 'product_width')


class ExactLayerNorm(ExactLayer):
    """Layer normalization over the channels of each pixel; see ``nnet_layer_norm_ext.h``.

    Attributes:
        normal: The type of the normalized values, as C++.
        epsilon, offset: Stored integers; see :class:`~hls4ml_ext.layers.normalization.tables.LayerNormArithmetic`.
    """

    free_lanes = False

    kernel = 'layer_norm'
    header = 'nnet_utils/nnet_layer_norm_ext.h'

    _expected_attributes = [
        WeightAttribute('table'),
        WeightAttribute('gamma'),
        WeightAttribute('beta'),
        TypeAttribute('table'),
        TypeAttribute('gamma'),
        TypeAttribute('beta'),
        Attribute('n_chan', value_type=int),
        Attribute('fold_out', value_type=int, default=1),
        Attribute('normal', value_type=str),
        Attribute('epsilon', value_type=int),
        Attribute('offset', value_type=int),
        Attribute('scaled', value_type=bool),
        *[Attribute(name, value_type=int) for name in WIDTHS],
    ]

    def initialize(self):
        super().initialize()
        table = tables.rsqrt_table() * 2.0**-tables.TABLE_FRAC
        self.add_exact_weights('table', 'r', FixedType(tables.TABLE_FRAC, 0, False), table)
        for name in ('gamma', 'beta'):
            values, ftype = self.attributes.pop(name + 's')
            self.add_exact_weights(name, name[0], ftype, values)

    @property
    def reuse(self) -> int:
        return self.get_attr('fold_out')

    @property
    def cycles(self):
        return (self.n_tokens + 1) * self.reuse

    @property
    def multipliers(self):
        return (2 + self.get_attr('scaled')) * self.get_attr('n_chan') // self.reuse + 1

    @property
    def macs(self):
        return self.n_tokens * (2 + self.get_attr('scaled')) * self.get_attr('n_chan')

    def last_input_of(self, i: int = 0):
        return np.minimum(np.arange(self.n_tokens) + 1, self.n_tokens - 1)

    @property
    def settings(self):
        return weight_settings(self)

    def pragmas(self):
        table = self.weights['table'].data_length
        return storage_pragmas(self, {'table': table, 'gamma': self.reuse, 'beta': self.reuse})


class LayerNormConfigTemplate(ExactConfigTemplate):
    def __init__(self):
        super().__init__(ExactLayerNorm)

    def members(self, node):
        return {
            'n_pixels': node.n_tokens,
            'n_chan': int(node.get_attr('n_chan')),
            'fold_out': int(node.get_attr('fold_out')),
            'n_table': node.weights['table'].data_length,
            'index_bits': tables.INDEX_BITS,
            'normal_bits': tables.NORMAL_BITS,
            'scale_frac': tables.SCALE_FRAC,
            'scale_width': tables.SCALE_FRAC,
            'epsilon': int(node.get_attr('epsilon')),
            'offset': int(node.get_attr('offset')),
            **{name: int(node.get_attr(name)) for name in WIDTHS},
            'acc_width': int(node.get_attr('acc_width')),
            'multiplier': multiplier(node),
            'normal_t': node.get_attr('normal'),
            'table_t': node.weights['table'].type.name,
            'gamma_t': node.weights['gamma'].type.name,
            'beta_t': node.weights['beta'].type.name,
        }


class LayerNormFunctionTemplate(ExactFunctionTemplate):
    def __init__(self):
        super().__init__(ExactLayerNorm)


def _affine(layer, name: str, weights, which: str, neutral: float) -> tuple[np.ndarray, FixedType]:
    if weights is None:
        return np.full(layer.n_chan, neutral), FixedType(1, 1, False)
    return quantizers.quantized_weights(getattr(layer, f'{which}_quantizer'), np.asarray(weights), name, which)


def lower_layer_norm(layer, inputs, graph) -> str:
    """QLayerNormalization."""
    name = graph.name(layer)
    if layer.input_quantizer is None:
        raise ConversionError(
            name, 'it has no input_quantizer and computes in float', "Give it one, such as 'quantized_bits(8,3,alpha=1)'"
        )
    shape = graph.shape(inputs[0])
    if shape[-1] != layer.n_chan:
        raise ConversionError(
            name,
            f'it normalizes {layer.n_chan} values, but a pixel of its input has {shape[-1]}',
            'Put it before the Flatten',
        )
    arithmetic = layer.arithmetic(layer.n_chan)
    source, tensor = arithmetic.source, inputs[0]
    known = graph.maybe_type(tensor)
    # The arithmetic depends on the fractional bits alone: a type within the input quantizer's needs no rounding.
    if known is None or known.frac != source.frac or known.lo < source.lo or known.hi > source.hi:
        tensor = graph.quantize(tensor, layer.input_quantizer, graph.name(layer, 'input'), graph.only_consumer(layer))
    graph.check_float(name, source.range, layer.compute_dtype, 'its input')

    gamma, gamma_type = _affine(layer, name, layer.gamma, 'gamma', 1.0)
    beta, beta_type = _affine(layer, name, layer.beta, 'beta', 0.0)
    sums = sum_of_products(arithmetic.normal, gamma[None, :], gamma_type, beta, beta_type)
    graph.check_float(name, sums, layer.compute_dtype, 'gamma times the normalized value plus beta')
    _, fold_out = choose_folding(graph, name, 1, layer.n_chan)
    out = graph.add(
        ExactLayerNorm, name, [tensor], sums,
        out_shape=shape, acc_width=sums.signed_bits, gammas=(gamma, gamma_type), betas=(beta, beta_type),
        n_chan=layer.n_chan, fold_out=fold_out, normal=str(arithmetic.normal), epsilon=arithmetic.epsilon_stored,
        offset=arithmetic.offset, scaled=layer.scale, **arithmetic.widths, **weight_attributes(graph, name),
    )  # fmt: skip
    if layer.output_quantizer is None:
        return out
    return graph.quantize(out, layer.output_quantizer, graph.name(layer, 'output'))


def lower_batch_norm(layer, inputs, graph) -> str:
    """keras.layers.BatchNormalization, and qkeras.QBatchNormalization: never in hardware."""
    kind = type(layer).__name__
    remedy = 'Fold it into the layer before it: model = hls4ml_ext.fold_batchnorm(model), and fine-tune'
    if kind != 'BatchNormalization':
        remedy = 'Use keras.layers.BatchNormalization instead, and hls4ml_ext.fold_batchnorm(model)'
    raise ConversionError(graph.name(layer), f'there is no exact hardware for {kind}', remedy)
