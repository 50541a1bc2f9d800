"""The inputs and outputs of a Keras model, which its hls4ml model remembers, and batches that fit them."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass

import numpy as np

from hls4ml_ext.errors import ExtError

CONFIG_KEY = 'KerasPorts'
"""Where an hls4ml model keeps them: in its config, so that saving it keeps them too."""


@dataclass(frozen=True)
class Port:
    """An input or output of a model.

    Args:
        name: Of the Keras layer.
        shape: Without the batch dimension; None where it isn't fixed.
        dtype: What Keras makes of it.
        key: In a model whose inputs (or outputs) are a dictionary, else None.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str = 'float32'
    key: str | None = None


@dataclass(frozen=True)
class Ports:
    """All inputs and outputs of a model.

    Args:
        inputs, outputs: In the order of ``keras_model.inputs`` and ``keras_model.outputs``.
    """

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    @classmethod
    def of_keras(cls, model) -> Ports:
        """Those of a Keras model."""
        from hls4ml_ext.layers.core.builder import functional_of

        functional = functional_of(model)
        return cls(_described(functional.inputs, functional.input), _described(functional.outputs, functional.output))

    @classmethod
    def of_hls(cls, hls_model) -> Ports:
        """Those of the Keras model that an hls4ml model came from."""
        known = hls_model.config.get_config_value(CONFIG_KEY)
        if known is None:  # converted by hls4ml alone
            variables = hls_model.get_input_variables(), hls_model.get_output_variables()
            return cls(*(tuple(Port(v.name, tuple(v.shape)) for v in some) for some in variables))
        return cls(*(tuple(Port(**{**p, 'shape': tuple(p['shape'])}) for p in known[key]) for key in ('inputs', 'outputs')))


def remember(hls_model, keras_model):
    """Makes an hls4ml model remember the Keras model that it comes from: inputs, outputs and a hash of weights."""
    ports = Ports.of_keras(keras_model)
    known = {key: [{**asdict(p), 'shape': list(p.shape)} for p in getattr(ports, key)] for key in ('inputs', 'outputs')}
    hls_model.config.config[CONFIG_KEY] = {**known, 'weights': fingerprint(keras_model)}  # for YAML and JSON


def fingerprint(keras_model) -> str:
    """A hash of all weights of a Keras model."""
    import keras

    found = hashlib.sha256()
    for weight in keras_model.weights:
        found.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
    return found.hexdigest()


def check_same_model(hls_model, keras_model):
    """Raises :class:`ExtError` if an hls4ml model comes from another Keras model, or from other weights of it."""
    known = hls_model.config.get_config_value(CONFIG_KEY)
    difference = ''
    if known is not None and Ports.of_keras(keras_model) != Ports.of_hls(hls_model):
        difference = 'its inputs or outputs are others'
    elif known is not None and known['weights'] != fingerprint(keras_model):
        difference = 'its weights are others'
    if difference:
        raise ExtError(
            f"the Keras model '{keras_model.name}' is not the one that was converted: {difference}. Give that one, or "
            'convert this one'
        )


def _described(tensors, structure) -> tuple[Port, ...]:
    # Keras flattens a dictionary in the order of its keys.
    keys = [None] * len(tensors)
    if isinstance(structure, dict) and len(structure) == len(tensors):
        keys = sorted(structure)
    return tuple(
        Port(t._keras_history.operation.name, tuple(t.shape[1:]), str(t.dtype), key) for t, key in zip(tensors, keys)
    )


# ---------------------------------------------------------------------------------------------------------------------
# Batches
# ---------------------------------------------------------------------------------------------------------------------


def batch_of(x, inputs: tuple[Port, ...]) -> list[np.ndarray]:
    """A batch for each input of a model, checked.

    Args:
        x: As Keras takes it: for a model of one input an array (batch, *shape), or one image of the input's shape; for more
            inputs a list in their order, or a dictionary by their names.
        inputs: The inputs of the model.

    Returns:
        An array (batch, *shape) for each input, in C order, with the numbers that Keras makes of it.

    Raises:
        ExtError: on another number of inputs, an unknown name, a wrong shape, numbers that aren't real or not finite, or
            inputs of different batch sizes.
    """
    arrays = [_checked(given, port, len(inputs) > 1) for given, port in zip(_one_for_each(x, inputs), inputs)]
    if len({len(a) for a in arrays}) > 1:
        sizes = ', '.join(f"{len(a)} of '{port.name}'" for a, port in zip(arrays, inputs))
        raise ExtError(f'the inputs have different numbers of images: {sizes}')
    return arrays


def structured(arrays: list, outputs: tuple[Port, ...]):
    """Arrays of all outputs as ``keras_model.predict`` returns them: one array, a list, or a dictionary."""
    if all(port.key is not None for port in outputs):
        return {port.key: array for port, array in zip(outputs, arrays)}
    return arrays[0] if len(arrays) == 1 else arrays


def _one_for_each(x, inputs) -> list:
    names = ', '.join(f"'{port.name}'" for port in inputs)
    if isinstance(x, dict):
        by_name = {str(name): array for name, array in x.items()}
        unknown = set(by_name) - {port.name for port in inputs} - {port.key for port in inputs}
        if unknown:
            raise ExtError(f"the model has no input '{sorted(unknown)[0]}'; it has {names}")
        given = [by_name.get(port.key, by_name.get(port.name)) for port in inputs]
        for array, port in zip(given, inputs):
            if array is None:
                raise ExtError(f"there is no batch for input '{port.name}' of the model")
        return given
    if len(inputs) == 1:
        alone = isinstance(x, (list, tuple)) and len(x) == 1 and np.ndim(x[0]) > len(inputs[0].shape)
        return [x[0] if alone else x]
    if not isinstance(x, (list, tuple)) or len(x) != len(inputs):
        given = f'a list of {len(x)}' if isinstance(x, (list, tuple)) else f'a {type(x).__name__}'
        raise ExtError(f'the model has {len(inputs)} inputs, {names}: give a list with an array for each, not {given}')
    return list(x)


def _checked(x, port: Port, several: bool) -> np.ndarray:
    where = f"input '{port.name}': " if several else ''
    try:
        array = np.asarray(x)
    except Exception as e:  # of ragged lists, of tensors on other devices
        raise ExtError(f"{where}images can't be made an array of numbers: {e}") from e
    if array.dtype.kind not in 'biuf':
        raise ExtError(f'{where}images of dtype {array.dtype}; give real numbers')
    if _fits(array.shape, port.shape):
        array = array[None]
    if not _fits(array.shape[1:], port.shape):
        raise ExtError(f'{where}images of shape {array.shape[1:]}; the model wants {port.shape}')
    with np.errstate(over='ignore', invalid='ignore'):
        cast = np.ascontiguousarray(array, port.dtype)
    if cast.dtype.kind in 'iu':
        if not (cast == array).all():
            raise ExtError(f"{where}images of dtype {array.dtype} hold numbers that the model's {port.dtype} can't")
    elif not np.isfinite(cast).all():
        bad = int((~np.isfinite(cast)).sum())
        raise ExtError(f'{where}{bad} of {cast.size} input numbers are NaN or infinite (as {port.dtype})')
    return cast


def _fits(shape, wanted) -> bool:
    return len(shape) == len(wanted) and all(w is None or s == w for s, w in zip(shape, wanted))
