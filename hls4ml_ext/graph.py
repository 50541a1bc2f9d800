"""hls4ml's model, which looks before it leaps into C++."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from types import MethodType

import numpy as np
from hls4ml.model import ModelGraph

from hls4ml_ext.errors import ExtError, ProjectError

NOT_COMPILED = 'the model has not been compiled. Do it: hls4ml_ext.compile(hls_model)'


class ExactModelGraph(ModelGraph):
    """What :func:`hls4ml_ext.convert` returns: a ``ModelGraph`` whose ``predict`` and ``trace`` don't end the process.

    The C++ that hls4ml writes calls ``exit`` if a file of weights is missing, and reads beyond arrays that are too small.
    """

    def _get_top_function(self, x):
        check_runnable(self)
        self._check_sizes(x)
        return super()._get_top_function(x)

    def check_compilable(self):
        """Raises ProjectError if a tool is missing that compiles the simulation."""
        if shutil.which('g++') is None:
            raise ProjectError('C simulation needs g++, which is not on PATH. Install it, for instance: apt-get install g++')

    def check_runnable(self):
        """Raises ProjectError if it hasn't been compiled, or files of its project are missing."""
        if self._top_function_lib is None:
            raise ProjectError(NOT_COMPILED)
        firmware = os.path.join(self.config.get_output_dir(), 'firmware')
        files = [firmware]
        if self.config.get_writer_config().get('WriteWeightsTxt', True):  # else the weights are in the library
            files += [os.path.join(firmware, 'weights', f'{w.name}.txt') for w in self.get_weight_variables()]
        for file in files:
            if not os.path.exists(file):
                raise ProjectError(
                    f"'{file}' is missing: the project was deleted or moved after it was compiled. "
                    'Compile it again: hls4ml_ext.compile(hls_model)'
                )

    def run_batch(self, arrays: list[np.ndarray], workers: int | None = None, progress=None) -> list[np.ndarray]:
        """Runs the simulation on a batch.

        The simulation of an image has no state, and Python's lock is not held while C++ runs: threads scale.

        Args:
            arrays: (images, *shape) numbers for each input: all float32, or all float64.
            workers: Threads; None is one for each core.
            progress: Called with the number of images that are done, after each.

        Returns:
            (images, size) numbers of the same type for each output.
        """
        n = len(arrays[0])
        function, ctype = self._get_top_function(arrays[0] if len(arrays) == 1 else arrays)
        results = [np.zeros((n, variable.size()), ctype) for variable in self.get_output_variables()]

        def run(i):
            function(*(array[i] for array in arrays), *(result[i] for result in results))
            if progress:
                progress(1)

        if n:
            run(0)  # the first call loads the weights
        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            list(pool.map(run, range(1, n)))
        return results

    def _check_sizes(self, x):
        variables = self.get_input_variables()
        arrays = [x] if len(variables) == 1 else x
        if len(arrays) != len(variables):
            raise ExtError(f'the model has {len(variables)} inputs: give a list with an array for each')
        for array, variable in zip(arrays, variables):
            if not isinstance(array, np.ndarray):
                continue  # hls4ml says so
            n, rest = divmod(array.size, variable.size())
            one = len(variables) == 1 and n == 1
            if rest or (not one and len(array) != n):
                shape = tuple(variable.shape)
                raise ExtError(f'images of shape {array.shape[1:]}; the model wants {shape} for {variable.name}')


def graph_class(backend: str) -> type[ExactModelGraph]:
    """The class of the models of a back end."""
    if backend.lower() != 'rtl':
        return ExactModelGraph
    from hls4ml_ext.rtl.model import RTLModelGraph

    return RTLModelGraph


def check_hls_model(hls_model):
    """Raises :class:`ExtError` unless `hls_model` is an hls4ml model."""
    if not isinstance(hls_model, ModelGraph):
        raise ExtError(f'a {type(hls_model).__name__} was given where a model from hls4ml_ext.convert is wanted')


def check_runnable(hls_model):
    """Raises unless the simulation of a model can run.

    Raises:
        ExtError: if it is no hls4ml model.
        ProjectError: if it hasn't been compiled, or files of its project are missing.
    """
    check_hls_model(hls_model)
    method_of(hls_model, 'check_runnable')()


def method_of(hls_model, name: str):
    """A method of :class:`ExactModelGraph` for a model, which may have been converted by hls4ml alone."""
    return getattr(hls_model, name, None) or MethodType(getattr(ExactModelGraph, name), hls_model)
