"""Simulation, of C++ or RTL: compile a project, run it on all cores, and compare it with Keras layer by layer."""

from __future__ import annotations

import contextlib
import io
import os
from dataclasses import dataclass

import numpy as np

from hls4ml_ext.conversion import check_output_dir
from hls4ml_ext.errors import ExtError, ProjectError
from hls4ml_ext.graph import check_hls_model, check_runnable, method_of
from hls4ml_ext.ports import Ports, batch_of, check_same_model, structured
from hls4ml_ext.prediction import check_batch_size, check_keras_model, layers_as_written


def compile(hls_model, trace: bool = False):
    """Writes and compiles a project as ``hls_model.compile()`` does, with errors that can be read.

    Args:
        hls_model: The model from :func:`hls4ml_ext.convert`.
        trace: Let it record the output of every layer, so that :func:`compare` does not compile it again.

    Raises:
        ProjectError: if a tool is missing (g++, Verilator), the output directory can't be used, or a tool fails (the message
            has its first error and says where all of its output is).
    """
    check_hls_model(hls_model)
    directory = hls_model.config.get_output_dir()
    check_output_dir(directory)
    method_of(hls_model, 'check_compilable')()
    if trace:
        hls_model.config.trace_output = True
        for node in _traced_layers(hls_model):
            node.set_attr('trace', True)
    output = io.StringIO()
    try:
        with contextlib.redirect_stdout(output):
            hls_model.compile()
    except ExtError:
        raise
    except Exception as e:
        log = os.path.join(directory, 'compile.log')
        errors = [line for line in output.getvalue().splitlines() if 'error' in line.lower()]
        message = f"compiling the project in '{directory}' failed: {errors[0] if errors else e}"
        with contextlib.suppress(OSError):  # the directory may be the problem
            with open(log, 'w') as f:
                f.write(output.getvalue())
            message += f'. All of the output is in {log}'
        raise ProjectError(message) from e


def simulate(hls_model, x, workers: int | None = None, progress=None):
    """Runs the simulation on a batch, spread over the cores: C++, or Verilator's model of the RTL.

    Args:
        hls_model: A compiled model.
        x: Images, (batch, height, width, channels), or one image; numbers, not yet quantized. For a model of several inputs
            a list of such arrays in their order, or a dictionary by their names, as Keras takes them.
        workers: Number of threads; None is one for each core.
        progress: Called with the number of images that are done, as they come.

    Returns:
        What ``keras_model.predict`` returns, with a batch dimension in any case: an array (batch, *shape), or a list or
        dictionary of them. float32, or float64 for a Keras model that computes in it.

    Raises:
        ExtError: on images of the wrong shape, or numbers that aren't real and finite.
        ProjectError: if the model hasn't been compiled, or its project was deleted.

    Example::

        hls4ml_ext.compile(hls_model)
        assert (hls4ml_ext.simulate(hls_model, images) == hls4ml_ext.predict(model, images)).all()
    """
    check_runnable(hls_model)
    if workers is not None and (not isinstance(workers, (int, np.integer)) or workers < 1):
        raise ExtError(f'workers is {workers!r}; give a number of threads, or None for one on each core')
    ports = Ports.of_hls(hls_model)
    arrays = _for_hls4ml(batch_of(x, ports.inputs))
    n = len(arrays[0])
    results = method_of(hls_model, 'run_batch')(arrays, workers, progress)
    results = [np.asarray(result, arrays[0].dtype) for result in results]
    return structured([r.reshape(n, *port.shape) for r, port in zip(results, ports.outputs)], ports.outputs)


@dataclass(frozen=True)
class LayerComparison:
    """How the output of one layer in the C simulation compares with Keras.

    Attributes:
        node: Name in the hls4ml graph.
        layer: Name of the Keras layer that the node computes.
        values: Number of compared values.
        mismatches: How many of them differ.
        max_error: The largest difference.
        shape: Shape of the output.
        quantizer: Name of the Keras layer behind `layer` that rounds its output, where the hardware does both at once: what
            is compared is the output of the quantizer. None if there is no such layer.
    """

    node: str
    layer: str
    values: int
    mismatches: int
    max_error: float
    shape: tuple[int, ...]
    quantizer: str | None = None


def compare(hls_model, keras_model, x, batch_size: int = 64, progress=None) -> list[LayerComparison]:
    """Compares every layer's output of the C simulation with Keras, for equality.

    Keras computes as :func:`hls4ml_ext.predict` does. Intermediate results that no Keras layer has (the parts of an
    attention layer, the inside of an ODE block) are compared through the layer that they are part of.

    Args:
        hls_model: A model from :func:`hls4ml_ext.convert`; it is compiled with tracing, unless that has been done.
        keras_model: The Keras model that it came from.
        x: Images, as :func:`simulate` takes them; at least one.
        batch_size: Images whose intermediate results are in memory at a time.
        progress: Called with the number of images that are done, after each batch.

    Returns:
        One :class:`LayerComparison` for each layer, in order.

    Raises:
        ExtError: on images that :func:`simulate` refuses or none at all, another Keras model, or nothing to compare.
        ProjectError: if the model's project was deleted after it was compiled.
    """
    import keras

    from hls4ml_ext.layers.core.builder import functional_of

    check_hls_model(hls_model)
    check_keras_model(keras_model)
    check_batch_size(batch_size)
    check_same_model(hls_model, keras_model)
    arrays = batch_of(x, Ports.of_hls(hls_model).inputs)
    n = len(arrays[0])
    if n == 0:
        raise ExtError('there are no images to compare')
    functional = functional_of(keras_model)
    calls = [node for nodes_of_depth in functional._nodes_by_depth.values() for node in nodes_of_depth]
    outputs = {node.operation.name: node.outputs[0] for node in calls}
    nodes = _traced_layers(hls_model)
    compared = [node for node in nodes if node.get_attr('output_of') in outputs]
    if not compared:
        raise ExtError(f"no layer of the Keras model '{keras_model.name}' is in the hls4ml model: nothing can be compared")
    traced = hls_model.config.trace_output and all(node.get_attr('trace', False) for node in nodes)
    if not traced or hls_model._top_function_lib is None:
        compile(hls_model, trace=True)
    check_runnable(hls_model)
    reference = keras.Model(functional.inputs, [outputs[node.get_attr('output_of')] for node in compared])
    mismatches, errors, values = ([0] * len(compared) for _ in range(3))
    for start in range(0, n, batch_size):
        batch = [array[start : start + batch_size] for array in arrays]
        trace = _trace(hls_model, _unpacked(_for_hls4ml(batch)))
        with layers_as_written():
            expected = reference.predict(_unpacked(batch), verbose=0, batch_size=int(batch_size))
        expected = expected if isinstance(expected, list) else [expected]
        for i, (node, want) in enumerate(zip(compared, expected)):
            got = np.asarray(trace[node.name], np.float64).reshape(want.shape)
            want = np.asarray(want, np.float64)
            mismatches[i] += int((got != want).sum())
            errors[i] = max(errors[i], float(np.abs(got - want).max(initial=0)))
            values[i] += got.size
        if progress:
            progress(len(batch[0]))
    return [
        LayerComparison(
            node.name, node.get_attr('computes'), *counts, tuple(outputs[node.get_attr('output_of')].shape[1:]),
            node.get_attr('rounded_by') or None,
        )
        for node, *counts in zip(compared, values, mismatches, errors)
    ]  # fmt: skip


def _for_hls4ml(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """As C++ takes them: all float32, or all float64 if that is what Keras computes in."""
    dtype = np.float64 if any(a.dtype == np.float64 for a in arrays) else np.float32
    return [np.ascontiguousarray(a, dtype) for a in arrays]


def _unpacked(arrays: list):
    """As hls4ml and Keras take the arrays of one input and of several."""
    return arrays[0] if len(arrays) == 1 else arrays


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
