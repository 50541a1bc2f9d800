"""Simulation, of C++ or RTL: compile a project, and run it on all cores."""

from __future__ import annotations

import contextlib
import io
import os

import numpy as np

from hls4ml_ext import tracing
from hls4ml_ext.conversion import check_output_dir
from hls4ml_ext.errors import ExtError, ProjectError
from hls4ml_ext.graph import check_hls_model, check_runnable, method_of
from hls4ml_ext.ports import Ports, batch_of, structured


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
        tracing.switch_on(hls_model)
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
    arrays = for_hls4ml(batch_of(x, ports.inputs))
    n = len(arrays[0])
    results = method_of(hls_model, 'run_batch')(arrays, workers, progress)
    results = [np.asarray(result, arrays[0].dtype) for result in results]
    return structured([r.reshape(n, *port.shape) for r, port in zip(results, ports.outputs)], ports.outputs)


def for_hls4ml(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """As C++ takes them: all float32, or all float64 if that is what Keras computes in."""
    dtype = np.float64 if any(a.dtype == np.float64 for a in arrays) else np.float32
    return [np.ascontiguousarray(a, dtype) for a in arrays]


def unpacked(arrays: list):
    """As hls4ml and Keras take the arrays of one input and of several."""
    return arrays[0] if len(arrays) == 1 else arrays
