"""Keras's own outputs, computed as its layers say."""

from __future__ import annotations

import contextlib

import numpy as np

from hls4ml_ext.errors import ExtError
from hls4ml_ext.ports import Ports, batch_of, structured


def predict(model, x, batch_size: int = 32):
    """``model.predict``, with every operation computed as the layers say: the numbers that the hardware gives.

    Before it runs a model, TensorFlow rewrites it for speed. What it rewrites is equal for real numbers, but not for floats:
    it adds the inputs of a sum in another order, for instance, so that their roundings no longer cancel. This function runs
    the model without that.

    Args:
        model: A Keras model, functional or Sequential.
        x: Images, (batch, height, width, channels), or one image; of a model of several inputs a list or a dictionary.
        batch_size: Images at a time.

    Returns:
        What ``model.predict`` returns, with a batch dimension in any case: an array, or a list or dictionary of them.

    Raises:
        ExtError: on a wrong shape, numbers that aren't real or not finite, or a batch size below one.

    Example::

        assert (hls4ml_ext.simulate(hls_model, images) == hls4ml_ext.predict(model, images)).all()
    """
    import keras

    from hls4ml_ext.layers.core.builder import functional_of

    check_keras_model(model)
    check_batch_size(batch_size)
    ports = Ports.of_keras(model)
    arrays = batch_of(x, ports.inputs)
    if len(arrays[0]) == 0:  # which Keras refuses
        return structured([np.zeros((0, *(d or 0 for d in p.shape)), p.dtype) for p in ports.outputs], ports.outputs)
    with layers_as_written():
        batch = keras.tree.pack_sequence_as(functional_of(model).input, arrays)
        return model.predict(batch, batch_size=int(batch_size), verbose=0)


@contextlib.contextmanager
def layers_as_written():
    """Within the context, TensorFlow doesn't rewrite the graphs that it runs. Other backends of Keras run as ever.

    Its arithmetic optimizer reassociates sums, and its constant folding products. Its remapper fuses convolutions with
    additions behind them, and oneDNN's kernel for that has aborted on tiny maps: "could not create a primitive descriptor
    for the reorder primitive".
    """
    import keras

    if keras.backend.backend() != 'tensorflow':
        yield
        return
    import tensorflow as tf

    key, options = 'disable_meta_optimizer', tf.config.optimizer
    before = options.get_experimental_options().get(key, False)
    options.set_experimental_options({key: True})
    try:
        yield
    finally:
        options.set_experimental_options({key: before})


def check_keras_model(model):
    """Raises :class:`ExtError` unless `model` is a Keras model."""
    import keras

    if not isinstance(model, keras.Model):
        raise ExtError(f'a {type(model).__name__} was given where a Keras model is wanted')


def check_batch_size(batch_size):
    """Raises :class:`ExtError` unless `batch_size` is a whole number of at least one."""
    if isinstance(batch_size, bool) or not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ExtError(f'batch_size is {batch_size!r}; give a whole number of at least 1')
