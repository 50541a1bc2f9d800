"""Folds batch normalization into the layers before it: what hardware needs before it sees a model."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass

import keras
import numpy as np

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError
from hls4ml_ext.fixed import FixedType
from hls4ml_ext.layers.core.builder import functional_of

REMEDY = (
    'Put it directly behind a QConv2D, QDepthwiseConv2D or QDense without activation, with the activation or quantizer as a '
    'layer behind the BatchNormalization, or remove it'
)


def fold_batchnorm(model, bias_quantizer='quantized_bits(16,6,alpha=1)'):
    """A new model in which every BatchNormalization is folded into the kernel and the bias of the layer before it.

    At inference, batch normalization is ``y * s + t`` with ``s = gamma / sqrt(moving_variance + epsilon)`` and
    ``t = beta - moving_mean * s``, for each channel [1, equation 11 of algorithm 2]. Behind a convolution or dense layer
    that is the same layer with the kernel ``kernel * s`` and the bias ``bias * s + t`` [2, section 3.2]. It is done to the
    float weights that training updates; the layer's quantizers then apply to the folded ones. So the function changes
    as much as rounding the new weights differs from rounding the old ones: fine-tune the folded model, without batch
    normalization, before it is converted. A warning tells of folded weights that are beyond the range of their quantizer.

    The models within `model` and the dynamics of its ODE blocks are folded likewise. The input model is left as it is.

    Args:
        model: A built Keras model, functional or Sequential.
        bias_quantizer: For the layers whose kernel has a quantizer and whose bias has none: a QKeras quantizer, its string
            or config. It should have no more fractional bits than needed: every sum of products must fit the 24 bits that
            float32 holds exactly, from the largest number to the finest. None leaves these biases in float.

    Returns:
        The new model, of the same class and name, compiled as `model` was (the optimizer starts anew). The layers that
        are left have their names; those that are not folded have their weights.

    Raises:
        ConversionError: naming a BatchNormalization that can't be folded: one that isn't behind a QConv2D,
            QDepthwiseConv2D or QDense with linear activation, or isn't the only consumer of that layer's output; layers
            that are called several times; qkeras.QBatchNormalization; subclassed models.

    Example::

        model.fit(...)  # with BatchNormalization
        model = hls4ml_ext.fold_batchnorm(model)
        model.compile(...)
        model.fit(...)  # fine-tuning
        hls_model = hls4ml_ext.convert(model)

    [1] Ioffe, Szegedy, "Batch Normalization" (arXiv 1502.03167).
    [2] Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
    (arXiv 1712.05877).
    """
    bias_config = quantizers.serialize(quantizers.resolve(bias_quantizer))
    folded = _Folder(bias_config).fold(model)
    for layer in folded._flatten_layers():
        if _is_batchnorm(layer):
            raise ConversionError(layer.name, 'it is inside of a layer that fold_batchnorm does not know', REMEDY)
    return folded


def _has_layers(layer) -> bool:
    from hls4ml_ext.layers.ode.keras import ODEBlock

    return isinstance(layer, (keras.Model, ODEBlock))


def _is_batchnorm(layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization)


def _is_foldable(layer) -> bool:
    """Is it one of the three QKeras layers, and not a subclass that computes something else (QConv2DBatchnorm)?"""
    from qkeras import QConv2D, QDense, QDepthwiseConv2D

    return any(isinstance(layer, cls) and type(layer).call is cls.call for cls in (QConv2D, QDepthwiseConv2D, QDense))


def _numpy(variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), np.float64)


@dataclass
class _Affine:
    """What is to be folded into a layer: for each of its output channels ``y * scale + shift``."""

    scale: np.ndarray
    shift: np.ndarray

    def then(self, bn) -> _Affine:
        """This, and the batch normalization `bn` after it."""
        scale = 1.0 / np.sqrt(_numpy(bn.moving_variance) + bn.epsilon)
        if bn.scale:
            scale = scale * _numpy(bn.gamma)
        shift = -_numpy(bn.moving_mean) * scale
        if bn.center:
            shift = shift + _numpy(bn.beta)
        return _Affine(self.scale * scale, self.shift * scale + shift)


class _Removed:
    """Stands for a folded BatchNormalization while a functional model is cloned."""

    def __call__(self, inputs, *args, **kwargs):
        return inputs


def _call(layer, *args, **kwargs):
    return layer(*args, **kwargs)


class _Folder:
    """One folding: what it does to a model, and to the models within.

    Args:
        bias_config: Config of the quantizer of new biases, or None.
        prefix: Put before the names of layers in messages.
    """

    def __init__(self, bias_config: dict | None, prefix: str = ''):
        self.bias_config = bias_config
        self.prefix = prefix

    def fold(self, model):
        functional = functional_of(model)
        self.folds: dict[int, _Affine] = {}
        self.removed: set[int] = set()
        self._find(functional)
        self.clones: dict[int, tuple] = {}
        # Of the same names, which become those of the hardware's ports.
        inputs = keras.tree.map_structure(
            lambda t: keras.Input(batch_shape=t.shape, dtype=t.dtype, name=t._keras_history.operation.name), functional.input
        )
        if isinstance(model, keras.Sequential):
            layers = [self._clone(layer) for layer in model.layers if id(layer) not in self.removed]
            new = keras.Sequential([keras.tree.flatten(inputs)[0], *layers], name=model.name, trainable=model.trainable)
            if model.compiled:
                new.compile_from_config(model.get_compile_config())
        else:
            # With a call_function, Keras leaves it to us what a clone is: _Removed is no layer.
            new = keras.models.clone_model(model, inputs, clone_function=self._clone, call_function=_call)
        for old, clone in self.clones.values():
            if id(old) in self.folds:
                self._set_folded_weights(old, clone)
            elif isinstance(old, keras.layers.Layer) and not _has_layers(old):  # those were folded on their own
                clone.set_weights(old.get_weights())
        return new

    # ------------------------------------------------------------------ what to fold

    def _find(self, functional):
        """Fills `folds` and `removed`."""
        nodes = [n for depth in sorted(functional._nodes_by_depth, reverse=True) for n in functional._nodes_by_depth[depth]]
        nodes = [n for n in nodes if n.arguments.keras_tensors]
        calls = Counter(id(n.operation) for n in nodes)
        consumers = Counter(id(t) for n in nodes for t in n.arguments.keras_tensors)
        consumers.update(id(t) for t in functional.outputs)
        sources = {}  # tensor -> the layer that computes it, or will after folding
        for node in nodes:
            layer, tensor = node.operation, node.arguments.keras_tensors[0]
            if _is_foldable(layer):
                sources[id(node.outputs[0])] = layer
            if not _is_batchnorm(layer):
                continue
            source = sources.get(id(tensor))
            self._check(layer, node, tensor, source, calls, consumers)
            n = int(tensor.shape[-1])
            before = self.folds.get(id(source), _Affine(np.ones(n), np.zeros(n)))
            self.folds[id(source)] = before.then(layer)
            self.removed.add(id(layer))
            sources[id(node.outputs[0])] = source

    def _check(self, bn, node, tensor, source, calls, consumers):
        """Raises ConversionError unless `bn` can be folded into the layer `source`."""

        def refuse(problem, remedy=REMEDY):
            raise ConversionError(self.prefix + bn.name, problem, remedy)

        if type(bn).__name__ != 'BatchNormalization':
            refuse(f'it is a {type(bn).__name__}, which rounds its own parameters', 'Use keras.layers.BatchNormalization')
        if node.arguments.kwargs.get('training'):
            refuse('it is called with training=True and never uses its moving averages', 'Leave out the argument')
        if source is None:
            before = tensor._keras_history.operation
            refuse(f"its input comes from '{before.name}' of class {type(before).__name__}")
        for layer in (bn, source):
            if calls[id(layer)] > 1:
                refuse(f"'{layer.name}' is called {calls[id(layer)]} times", 'Give each call a layer of its own')
        if getattr(source.activation, '__name__', 'linear' if source.activation is None else '') != 'linear':
            refuse(f"the layer before it, '{source.name}', has an activation: {source.activation}")
        if consumers[id(tensor)] > 1:
            refuse(f"the output of the layer before it, '{source.name}', has {consumers[id(tensor)]} consumers")
        if bn.axis not in (-1, len(tensor.shape) - 1) or getattr(source, 'data_format', 'channels_last') == 'channels_first':
            refuse(f'it normalizes axis {bn.axis}, not the last one', "Use axis=-1 and data_format='channels_last'")

    # ------------------------------------------------------------------ the new model

    def _clone(self, layer):
        if id(layer) in self.removed:
            return _Removed()
        if id(layer) not in self.clones:
            self.clones[id(layer)] = (layer, self._new(layer))
        return self.clones[id(layer)][1]

    def _new(self, layer):
        from hls4ml_ext.layers.ode.keras import ODEBlock

        if isinstance(layer, keras.Model):
            return _Folder(self.bias_config, f'{self.prefix}{layer.name}.').fold(layer)
        config = layer.get_config()
        if isinstance(layer, ODEBlock):
            config['dynamics'] = _Folder(self.bias_config, f'{self.prefix}{layer.name}.').fold(layer.dynamics)
        elif id(layer) in self.folds:
            config['use_bias'] = True
            if layer.bias_quantizer_internal is None and _kernel(layer)[1] is not None:
                config['bias_quantizer'] = self.bias_config
        return type(layer).from_config(config)

    def _set_folded_weights(self, old, new):
        affine = self.folds[id(old)]
        kernel, quantizer = _kernel(old)
        values = _numpy(kernel)
        # A depthwise kernel is (height, width, channels, multiplier): its outputs are the last two axes.
        outputs = values.shape[-2:] if kernel is getattr(old, 'depthwise_kernel', None) else values.shape[-1:]
        kernel_values = values * affine.scale.reshape(outputs)
        bias = _numpy(old.bias) if old.use_bias else 0.0
        bias_values = bias * affine.scale + affine.shift
        name = self.prefix + old.name
        _warn_of_saturation(name, 'kernel', quantizer, kernel_values)
        _warn_of_saturation(name, 'bias', new.bias_quantizer_internal, bias_values)
        _kernel(new)[0].assign(kernel_values)
        new.bias.assign(bias_values)


def _kernel(layer):
    """The kernel variable of a QKeras layer and its quantizer."""
    if hasattr(layer, 'depthwise_quantizer_internal'):
        return layer.depthwise_kernel, layer.depthwise_quantizer_internal
    return layer.kernel, layer.kernel_quantizer_internal


def _warn_of_saturation(layer: str, what: str, quantizer, values: np.ndarray):
    """Warns of numbers that a quantized_bits of fixed scale clips."""
    if type(quantizer).__name__ != 'quantized_bits' or isinstance(quantizer.alpha, str):
        return
    signed = bool(quantizer.keep_negative)
    ftype = FixedType(int(quantizer.bits), int(np.asarray(quantizer.integer)) + signed, signed)
    stored = values / (1.0 if quantizer.alpha is None else float(np.asarray(quantizer.alpha))) * 2.0**ftype.frac
    beyond = int(np.sum((stored > ftype.hi + 0.5) | (stored < ftype.lo - 0.5)))
    if beyond:
        warnings.warn(
            f"layer '{layer}': {beyond} of {values.size} folded values of its {what} are beyond the range of {quantizer} "
            f"(the largest is {np.abs(values).max():.3g}). Give it more integer bits, or alpha='auto_po2'",
            stacklevel=4,
        )
