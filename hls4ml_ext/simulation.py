"""C simulation: compile a project, run it on all cores, and compare it with Keras layer by layer."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from hls4ml_ext.conversion import check_output_dir
from hls4ml_ext.errors import ExtError, ProjectError


def compile(hls_model, trace: bool = False):
    """Writes and compiles a project as ``hls_model.compile()`` does, with errors that can be read.

    Args:
        hls_model: The model from :func:`hls4ml_ext.convert`.
        trace: Let it record the output of every layer, so that :func:`compare` does not compile it again.

    Raises:
        ProjectError: if there is no g++, the output directory can't be used, or the compiler fails (the message has its
            first error, ``compile.log`` in the project all of its output).
    """
    directory = hls_model.config.get_output_dir()
    check_output_dir(directory)
    if shutil.which('g++') is None:
        raise ProjectError('C simulation needs g++, which is not on PATH. Install it, for instance: apt-get install g++')
    if trace:
        hls_model.config.trace_output = True
        for node in _traced_layers(hls_model):
            node.set_attr('trace', True)
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            hls_model.compile()
    except Exception as e:
        log = os.path.join(directory, 'compile.log')
        with open(log, 'w') as f:
            f.write(output.getvalue())
        errors = [line for line in output.getvalue().splitlines() if 'error' in line.lower()]
        first = f': {errors[0]}' if errors else ''
        raise ProjectError(f"compiling the project in '{directory}' failed{first}. All of the output is in {log}") from e


def simulate(hls_model, x: np.ndarray, workers: int | None = None, progress=None) -> np.ndarray:
    """Runs the C simulation on a batch, spread over the cores.

    The simulation of an image has no state, and Python's lock is not held while C++ runs: threads scale.

    Args:
        hls_model: A compiled model with one input and one output.
        x: Images, (batch, height, width, channels), or one image; numbers, not yet quantized.
        workers: Number of threads; None is one for each core.
        progress: Called with the number of images that are done, after each.

    Returns:
        float32 outputs, (batch, n_outputs); what ``hls_model.predict`` gives, for any batch size with the batch dimension.

    Raises:
        ExtError: on images of the wrong shape, or that aren't finite.
    """
    x = np.ascontiguousarray(x, np.float32)
    inputs, outputs = hls_model.get_input_variables(), hls_model.get_output_variables()
    if len(inputs) != 1 or len(outputs) != 1:
        raise ExtError(f'the model has {len(inputs)} inputs and {len(outputs)} outputs. Use hls_model.predict')
    shape = tuple(inputs[0].shape)
    if x.shape == shape:
        x = x[None]
    if x.shape[1:] != shape:
        raise ExtError(f'images of shape {x.shape[1:]}; the model wants {shape}')
    if not np.all(np.isfinite(x)):
        raise ExtError(f'{int(np.sum(~np.isfinite(x)))} of {x.size} input numbers are NaN or infinite')
    function, ctype = hls_model._get_top_function(x)
    result = np.zeros((len(x), outputs[0].size()), ctype)

    def run(i):
        function(x[i], result[i])
        if progress:
            progress(1)

    if len(x):
        run(0)  # the first call loads the weights
    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        list(pool.map(run, range(1, len(x))))
    return result


@dataclass(frozen=True)
class LayerComparison:
    """How the output of one layer in the C simulation compares with Keras.

    Attributes:
        node: Name in the hls4ml graph.
        layer: Name of the Keras layer with the same output.
        values: Number of compared values.
        mismatches: How many of them differ.
        max_error: The largest difference.
        shape: Shape of the output.
    """

    node: str
    layer: str
    values: int
    mismatches: int
    max_error: float
    shape: tuple[int, ...]


def compare(hls_model, keras_model, x: np.ndarray, batch_size: int = 64, progress=None) -> list[LayerComparison]:
    """Compares every layer's output of the C simulation with Keras, for equality.

    Intermediate results that no Keras layer has (the parts of an attention layer, the inside of an ODE block) are compared
    through the layer that they are part of.

    Args:
        hls_model: A model from :func:`hls4ml_ext.convert`; it is compiled with tracing, unless that has been done.
        keras_model: The Keras model that it came from.
        x: Images, (batch, height, width, channels).
        batch_size: Images whose intermediate results are in memory at a time.
        progress: Called with the number of images that are done, after each batch.

    Returns:
        One :class:`LayerComparison` for each layer, in order.
    """
    import keras

    from hls4ml_ext.layers.core.builder import functional_of

    nodes = _traced_layers(hls_model)
    traced = hls_model.config.trace_output and all(n.get_attr('trace', False) for n in nodes)
    if not traced or hls_model._top_function_lib is None:
        compile(hls_model, trace=True)
    x = np.ascontiguousarray(x, np.float32)
    calls = [node for nodes_of_depth in functional_of(keras_model)._nodes_by_depth.values() for node in nodes_of_depth]
    outputs = {node.operation.name: node.outputs[0] for node in calls}
    compared = [n for n in nodes if n.get_attr('output_of') in outputs]
    reference = keras.Model(keras_model.inputs, [outputs[n.get_attr('output_of')] for n in compared])
    mismatches, errors, values = ([0] * len(compared) for _ in range(3))
    for start in range(0, len(x), batch_size):
        batch = x[start : start + batch_size]
        trace = _trace(hls_model, batch)
        with _unfused_tensorflow():
            expected = reference.predict(batch, verbose=0, batch_size=batch_size)
        expected = expected if isinstance(expected, list) else [expected]
        for i, (node, want) in enumerate(zip(compared, expected)):
            got = np.asarray(trace[node.name], np.float64).reshape(want.shape)
            want = np.asarray(want, np.float64)
            mismatches[i] += int((got != want).sum())
            errors[i] = max(errors[i], float(np.abs(got - want).max(initial=0)))
            values[i] += got.size
        if progress:
            progress(len(batch))
    return [
        LayerComparison(n.name, n.get_attr('output_of'), *counts, tuple(outputs[n.get_attr('output_of')].shape[1:]))
        for n, *counts in zip(compared, values, mismatches, errors)
    ]


@contextlib.contextmanager
def _unfused_tensorflow():
    """Within the context, TensorFlow runs layers as they are.

    It fuses convolutions with additions behind them. On tiny maps of one channel, with ODE blocks in ODE blocks, its oneDNN
    kernel for that has aborted: "could not create a primitive descriptor for the reorder primitive".
    """
    import tensorflow as tf

    options = tf.config.optimizer
    before = options.get_experimental_options().get('remapping', True)
    options.set_experimental_options({'remapping': False})
    try:
        yield
    finally:
        options.set_experimental_options({'remapping': before})


def _traced_layers(hls_model) -> list:
    """Our layers, except for copies of streams: hls4ml records one tensor of a layer."""
    from hls4ml_ext.layers.core import ExactLayer

    return [n for n in hls_model.get_layers() if isinstance(n, ExactLayer) and len(n.outputs) == 1]


def _trace(hls_model, x) -> dict[str, np.ndarray]:
    """``hls_model.trace`` of a model that has been compiled with tracing; the original compiles it each time."""
    hls_model.compile = lambda: None
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return hls_model.trace(x)[1]
    finally:
        del hls_model.compile
