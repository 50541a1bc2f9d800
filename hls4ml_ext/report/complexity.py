"""Parameters, multiply-accumulates and weight bits of a Keras model, of ours or any other, without converting it.

What is counted:

* *parameters*: trainable numbers of the model as it is, with those of batch normalization, as the literature counts them.
* *multiply-accumulates* for one image: of convolutions, dense layers and attention. The dynamics of an ODE block counts once
  for each evaluation. A relative position adds none: ``q.k + q.r = q.(k + r)``, which is how the kernel computes it. Nor do
  poolings, normalizations, activations and the solver.
* *weights* and their bits, as the hardware stores them: each batch normalization folded into the layer before it, which gets
  a bias (see :func:`hls4ml_ext.fold_batchnorm`); each weight with the bits of its quantizer, or 32. What is behind something
  else than a convolution or a dense layer leaves a factor and a summand for each channel.

For a converted model, :mod:`hls4ml_ext.report.facts` finds the same numbers in the hardware's layers.
"""

from __future__ import annotations

from dataclasses import dataclass

import keras

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ExtError
from hls4ml_ext.layers.core.builder import functional_of
from hls4ml_ext.layers.ode.keras import ODEBlock
from hls4ml_ext.report.macs import kernel_of, macs_of_call, size_of

FLOAT_BITS = 32
"""Of a weight without a quantizer."""

QUANTIZERS = {
    'kernel': 'kernel_quantizer_internal',
    'depthwise_kernel': 'depthwise_quantizer_internal',
    'bias': 'bias_quantizer_internal',
    'qkv_kernel': 'kernel_quantizer',
    'out_kernel': 'kernel_quantizer',
    'qkv_bias': 'bias_quantizer',
    'out_bias': 'bias_quantizer',
    'position_rows': 'position_quantizer',
    'position_cols': 'position_quantizer',
    'gamma': 'gamma_quantizer',
    'beta': 'beta_quantizer',
}
"""Name of a weight -> attribute of its layer with its quantizer."""

FOLDED_INTO = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.DepthwiseConv1D,
    keras.layers.DepthwiseConv2D,
    keras.layers.Dense,
)
"""Layers into which batch normalization behind them can be folded."""


@dataclass(frozen=True)
class Complexity:
    """The size of a model; see :mod:`hls4ml_ext.report.complexity`.

    Attributes:
        parameters: Trainable numbers, with batch normalization's.
        macs: Multiply-accumulates for one image.
        weights: Numbers to be stored, batch normalization folded.
        weight_bits: Their bits.
    """

    parameters: int
    macs: int
    weights: int
    weight_bits: int

    @property
    def megabits(self) -> float:
        """Millions of weight bits."""
        return self.weight_bits / 1e6

    def bram_share(self, device) -> float:
        """Weight bits per bit of a device's block RAM. More than 1 does not fit on chip: UltraRAM can't hold weights.

        It is the best case, in which no block is left partly empty.

        Args:
            device: A :class:`hls4ml_ext.devices.Device`.
        """
        return self.weight_bits / device.bram_bits

    def reduction(self, other: Complexity) -> float:
        """Which share of the parameters of `other` this one saves."""
        return 1 - self.parameters / other.parameters


def complexity(model, bias_quantizer='quantized_bits(16,6,alpha=1)') -> Complexity:
    """The size of a model.

    Args:
        model: A built Keras model, functional or Sequential, with fixed shapes.
        bias_quantizer: Of the biases that folding gives to layers whose kernel has a quantizer and whose bias has none: the
            argument of :func:`hls4ml_ext.fold_batchnorm`.

    Raises:
        ExtError: naming a layer whose products are not known; register a function for its class with
            :func:`hls4ml_ext.report.macs.macs_of_call`.
        ConversionError: for a subclassed model, or one that is not built.
    """
    count = _Count(_bits(quantizers.resolve(bias_quantizer)))
    count.add_model(model, 1)
    parameters = sum(size_of(w) for w in model.trainable_weights)
    return Complexity(parameters, count.macs, count.weights, count.weight_bits)


class _Count:
    """Sums over the layers of a model: multiply-accumulates for each call, weights once.

    Args:
        bias_bits: Of the biases that folding makes.
    """

    def __init__(self, bias_bits: int):
        self.bias_bits = bias_bits
        self.macs = self.weights = self.weight_bits = 0
        self.seen: set[int] = set()
        self.has_bias: set[int] = set()

    def add_model(self, model, times: int):
        """A model that runs `times` times for an image."""
        functional = functional_of(model)
        sources = {}  # tensor -> the layer into which a batch normalization behind it is folded
        for depth in sorted(functional._nodes_by_depth, reverse=True):
            for node in functional._nodes_by_depth[depth]:
                if node.arguments.keras_tensors:
                    self._add_call(node, times, sources)

    def _add_call(self, node, times, sources):
        layer, tensors = node.operation, node.arguments.keras_tensors
        if isinstance(layer, keras.Model):
            self.add_model(layer, times)
        elif isinstance(layer, ODEBlock):
            self.add_model(layer.dynamics, times * layer.n_steps * layer.solver.n_stages)
        else:
            self.macs += times * macs_of_call(layer, _input_shapes(layer, tensors), tuple(node.outputs[0].shape[1:]))
            if isinstance(layer, FOLDED_INTO):
                sources[id(node.outputs[0])] = layer
            elif isinstance(layer, keras.layers.BatchNormalization):
                sources[id(node.outputs[0])] = source = sources.get(id(tensors[0]))
                self._fold(layer, source)
            self._add_weights(layer)

    def _fold(self, normalization, source):
        """What is left of a batch normalization behind the layer `source`."""
        if self._is_new(normalization):
            n = size_of(normalization.moving_mean)
            if source is None:
                self._store(2 * n, FLOAT_BITS)
            elif not source.use_bias and id(source) not in self.has_bias:
                self.has_bias.add(id(source))
                quantizer = getattr(source, 'bias_quantizer_internal', None)
                made = self.bias_bits if _quantizer_of(source, kernel_of(source)) is not None else FLOAT_BITS
                self._store(n, made if quantizer is None else _bits(quantizer))

    def _add_weights(self, layer):
        if self._is_new(layer):
            for weight in getattr(layer, 'weights', ()):
                self._store(size_of(weight), _bits(_quantizer_of(layer, weight)))

    def _store(self, n, bits):
        self.weights += n
        self.weight_bits += n * bits

    def _is_new(self, layer) -> bool:
        new = id(layer) not in self.seen
        self.seen.add(id(layer))
        return new


def _input_shapes(layer, tensors) -> list[tuple]:
    shapes = [tuple(t.shape[1:]) for t in tensors]
    for shape in shapes:
        if None in shape:
            raise ExtError(f"layer '{layer.name}': its input has shape {shape}. Give the model a fixed input shape")
    return shapes


def _quantizer_of(layer, weight):
    return getattr(layer, QUANTIZERS.get(weight.name, ''), None)


def _bits(quantizer) -> int:
    return FLOAT_BITS if quantizer is None else int(quantizer.bits)
