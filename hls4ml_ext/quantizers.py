"""What a QKeras quantizer means in hardware.

An activation quantizer becomes a :class:`~hls4ml_ext.fixed.FixedType` whose rounding and saturation equal QKeras's to the
last case. A weight quantizer is applied once, at conversion, and the numbers that come out are stored.
"""

from __future__ import annotations

import numpy as np

from hls4ml_ext.errors import ConversionError, ExtError
from hls4ml_ext.fixed import MAX_FRACTION, FixedType, fraction_bits, power_of_two, range_of

MAX_RELU_INTEGER = 30
"""Integer bits beyond which quantized_relu's 2**integer, which QKeras computes in 32-bit integers, overflows."""


def resolve(quantizer):
    """The quantizer object behind an identifier: an object, a string like ``'quantized_bits(8,0,alpha=1)'`` or a config.

    Args:
        quantizer: None, a QKeras quantizer, its string or its serialized dict.

    Returns:
        The quantizer object, or None.
    """
    if quantizer is None:
        return None
    from qkeras.quantizers import get_quantizer

    return get_quantizer(quantizer)


def serialize(quantizer):
    """The config of a quantizer object that :func:`resolve` turns back into the object."""
    if quantizer is None:
        return None
    return {'class_name': type(quantizer).__name__, 'config': quantizer.get_config(), 'registered_name': None}


def activation_type(quantizer, layer: str) -> FixedType:
    """The fixed-point type whose rounding is exactly what the quantizer computes.

    Args:
        quantizer: A QKeras activation quantizer object.
        layer: Name of the layer, for messages.

    Raises:
        ConversionError: if no fixed-point type does what the quantizer does.
    """
    kind = type(quantizer).__name__
    remedy = 'Use quantized_bits(bits, integer, alpha=1) or quantized_relu(bits, integer)'

    def refuse(problem):
        raise ConversionError(layer, f'quantizer {quantizer} {problem}', remedy)

    if kind not in ('quantized_bits', 'quantized_relu'):
        refuse(f'of kind {kind} is not a rounding to a fixed-point type')
    if getattr(quantizer, 'use_stochastic_rounding', False):
        refuse('rounds at random')
    if float(np.asarray(getattr(quantizer, 'qnoise_factor', 1.0))) != 1.0:
        refuse('has a qnoise_factor other than 1')
    for name in ('bits', 'integer'):
        if float(np.asarray(getattr(quantizer, name))) % 1:
            refuse(f'has {name}={getattr(quantizer, name)}, which is no whole number')
    bits, integer = int(quantizer.bits), int(np.asarray(quantizer.integer))
    if abs(integer) > MAX_FRACTION or abs(bits - integer) > MAX_FRACTION:
        refuse(f'has numbers beyond 2**{MAX_FRACTION} or steps finer than 2**-{MAX_FRACTION}')
    problem = _relu_that_keras_cannot_evaluate(quantizer)
    if problem:
        raise ConversionError(layer, f'quantizer {quantizer} {problem}', _instead_of_relu(quantizer))
    if kind == 'quantized_relu':
        if quantizer.use_sigmoid:
            refuse('applies a sigmoid')
        if quantizer.negative_slope:
            refuse(f'has a negative slope of {quantizer.negative_slope}')
        if quantizer.relu_upper_bound is not None and not quantizer.is_quantized_clip:
            refuse(f'has an upper bound of {quantizer.relu_upper_bound} that is not its largest number')
        if bits < 1:
            refuse('has no bit')
        return FixedType(bits, integer, False, 'RND_CONV', 'SAT')
    alpha = quantizer.alpha
    if isinstance(alpha, str):
        refuse(f"scales by the data (alpha='{alpha}')")
    exponent = 0 if alpha is None else power_of_two(float(np.asarray(alpha)))
    if exponent != 0:
        refuse(f'scales by alpha={alpha}')
    signed = bool(quantizer.keep_negative)
    if bits - signed < 1:
        refuse('has no bit besides the sign')
    symmetric = 'SAT_SYM' if quantizer.symmetric and signed else 'SAT'
    return FixedType(bits, integer + signed, signed, 'RND_CONV', symmetric)


def _relu_that_keras_cannot_evaluate(quantizer) -> str:
    """What is wrong with a quantized_relu whose 2**integer QKeras can't compute; '' for any other quantizer."""
    if type(quantizer).__name__ != 'quantized_relu':
        return ''
    integer = np.asarray(quantizer.integer)
    if integer.dtype.kind in 'iu' and integer < 0:  # as a float, -1.0, it is a power that QKeras can compute
        return f'has {integer} integer bits, and Keras itself cannot evaluate it: it raises 2 to {integer} in whole numbers'
    if integer > MAX_RELU_INTEGER:
        return f'has {integer} integer bits; Keras computes 2**integer in 32-bit integers, which overflow'
    return ''


def _instead_of_relu(quantizer) -> str:
    bits, integer = int(quantizer.bits), int(np.asarray(quantizer.integer))
    return f'Use quantized_bits({bits},{integer},keep_negative=False,alpha=1), which computes what it should'


def quantized_weights(quantizer, values: np.ndarray, layer: str, name: str) -> tuple[np.ndarray, FixedType]:
    """Weights as the quantizer leaves them, and the type that stores them.

    Args:
        quantizer: A QKeras weight quantizer object.
        values: The trained (float) weights, any shape.
        layer, name: Names for messages ('conv1', 'kernel').

    Returns:
        The quantized numbers (float64, same shape) and their storage type: the quantizer's own bits where it has a fixed
        grid, else the smallest type that holds the numbers.

    Raises:
        ConversionError: on weights that are not finite, or a quantizer whose numbers aren't fixed-point.
    """
    values = np.asarray(values)
    if not np.all(np.isfinite(values)):
        bad = int(np.sum(~np.isfinite(values)))
        raise ConversionError(layer, f'{bad} of {values.size} values of {name} are NaN or infinite', 'Train it again')
    if quantizer is None:
        raise ConversionError(
            layer, f'{name} has no quantizer', f"Give the layer a {name}_quantizer, such as 'quantized_bits(4,0,alpha=1)'"
        )
    import keras

    problem = _relu_that_keras_cannot_evaluate(quantizer)
    if problem:
        raise ConversionError(layer, f'quantizer {quantizer} of {name} {problem}', _instead_of_relu(quantizer))
    quantized = np.asarray(keras.ops.convert_to_numpy(quantizer(keras.ops.convert_to_tensor(values))), np.float64)
    try:
        numbers = range_of(quantized)
    except ExtError as e:
        raise ConversionError(
            layer,
            f'quantizer {quantizer} of {name} gives numbers that are not fixed-point ({e})',
            "Use alpha=1 or alpha='auto_po2'",
        ) from e
    if type(quantizer).__name__ == 'quantized_bits' and not isinstance(quantizer.alpha, str):
        signed = bool(quantizer.keep_negative)
        grid = FixedType(int(quantizer.bits), int(np.asarray(quantizer.integer)) + signed, signed)
        if fraction_bits(quantized) <= grid.frac:
            stored = range_of(quantized).aligned(grid.frac)
            if grid.lo <= stored.lo and stored.hi <= grid.hi:
                return quantized, grid
    smallest = numbers.type()
    if smallest.width > 24:  # a scale that is no power of two: float32 could hold no sum of such weights
        raise ConversionError(
            layer, f'quantizer {quantizer} of {name} spreads over {smallest.width} bits', "Use alpha=1 or alpha='auto_po2'"
        )
    return quantized, smallest
