"""The hls4ml model of the RTL back end: Verilator behind hls4ml's methods."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path

import numpy as np

from hls4ml_ext.errors import ExtError, ProjectError
from hls4ml_ext.fixed import FixedType
from hls4ml_ext.graph import NOT_COMPILED, ExactModelGraph
from hls4ml_ext.layers.core.node import ExactLayer, lanes_of
from hls4ml_ext.rtl.kernel import stream_of
from hls4ml_ext.rtl.packing import pack, unpack
from hls4ml_ext.rtl.verilator import Library, Record, verilator_root
from hls4ml_ext.tracing import InnerLayer, inner_layers

IMAGES_AT_ONCE = 256
"""Images whose beats are in memory at a time, for each core."""


class RTLModelGraph(ExactModelGraph):
    """What :func:`hls4ml_ext.convert` returns for ``backend='RTL'``.

    ``compile`` builds a Verilator model, ``predict`` and ``trace`` run it. A batch goes through it as a stream, several
    images in flight, one copy of the model on each core.
    """

    probes: tuple[str, ...] = ()
    """Streams of the top that the simulation watches."""

    def _compile(self):
        watched = [*self.traced(), *self.traced_inside()] if self.config.trace_output else []
        self.probes = tuple(stream for _, stream, _ in watched)
        self._top_function_lib = Library(Path(self.config.backend.compile(self)))

    def check_compilable(self):
        verilator_root()

    def check_runnable(self):
        """Raises ProjectError if it hasn't been compiled. Its simulation needs no file of the project."""
        if self._top_function_lib is None:
            raise ProjectError(NOT_COMPILED)

    def traced(self) -> list[tuple[ExactLayer, str, tuple[int, int]]]:
        """The layers whose output can be watched: the node, its stream, beats of an image and bits of a beat."""
        found = []
        for node in self.get_layers():
            if isinstance(node, ExactLayer) and len(node.outputs) == 1 and node.outputs[0] not in self.outputs:
                name, width = stream_of(node, node.outputs[0])
                found.append((node, name, (node.n_beats, width)))
        return found

    def traced_inside(self) -> list[tuple[InnerLayer, str, tuple[int, int]]]:
        """The same of the layers inside of ODE blocks, with the beats of all of their evaluations."""
        found = []
        for layer in inner_layers(self.get_layers()):
            name, width = stream_of(layer.node, layer.node.outputs[0])
            found.append((layer, name, (layer.evaluations * layer.node.n_beats, width)))
        return found

    # ------------------------------------------------------------------ simulation

    def run_batch(self, arrays: list[np.ndarray], workers: int | None = None, progress=None) -> list[np.ndarray]:
        """Runs a batch.

        Args:
            arrays: (images, *shape) numbers for each input.
            workers: Threads; None is one for each core.
            progress: Called with the number of images that are done.

        Returns:
            (images, size) float64 for each output.
        """
        self.check_runnable()

        def run(part):
            outputs = self._outputs_of(self.run_once(part), len(part[0]))
            if progress:
                progress(len(part[0]))
            return outputs

        parts = _in_parts(run, arrays, workers)
        empty = [np.zeros((0, variable.size())) for variable in self.get_output_variables()]
        return [np.concatenate(some) for some in zip(empty, *parts)]

    def run_once(self, arrays: list[np.ndarray], library: Library | None = None, **options) -> Record:
        """Runs images one behind the other through one model.

        Args:
            arrays: (images, *shape) numbers for each input.
            library: What to run instead of what ``compile`` has built; `options` then say what it watches.
            options: Of :meth:`hls4ml_ext.rtl.verilator.Library.run`.

        Raises:
            ProjectError: if it hangs.
        """
        n = len(arrays[0])
        inputs = []
        for array, variable in zip(arrays, self.get_input_variables()):
            t, lanes = self._format(variable)
            inputs.append(pack(t.quantize(np.asarray(array, np.float64)), t, lanes))
        outputs = []
        for variable in self.get_output_variables():
            t, lanes = self._format(variable)
            outputs.append((n * prod(variable.shape) // lanes, lanes * t.width))
        if library is None:
            watched = {stream: shape for _, stream, shape in [*self.traced(), *self.traced_inside()]}
            options['probe_shapes'] = [(n * watched[name][0], watched[name][1]) for name in self.probes]
        slowest = max((node.cycles for node in self.get_layers() if isinstance(node, ExactLayer)), default=1)
        options = {'patience': 100 * slowest + 100_000, **options}
        record = (library or self._top_function_lib).run(inputs, outputs, **options)
        if record is None:
            raise ProjectError(f"the RTL of '{self.config.get_project_name()}' hangs: please report this network")
        return record

    @staticmethod
    def _format(variable) -> tuple[FixedType, int]:
        return FixedType.from_hls4ml(variable.type.precision), int(variable.type.n_elem)

    def _outputs_of(self, record: Record, n: int) -> list[np.ndarray]:
        variables = self.get_output_variables()
        return [unpack(beats, *self._format(v)).reshape(n, -1) for beats, v in zip(record.outputs, variables)]

    def _batch(self, x) -> list[np.ndarray]:
        variables = self.get_input_variables()
        arrays = [x] if len(variables) == 1 else list(x)
        if not all(isinstance(array, np.ndarray) for array in arrays):
            raise ExtError('give NumPy arrays')
        self._check_sizes(x)
        return [array.reshape(-1, *variable.shape) for array, variable in zip(arrays, variables)]

    def predict(self, x):
        """The outputs for a batch, as hls4ml's ``predict`` gives them: (images, size) for each output."""
        outputs = [o.astype(np.float32) for o in self.run_batch(self._batch(x))]
        return outputs[0] if len(outputs) == 1 else outputs

    def trace(self, x):
        """``predict``, and name of each layer -> its output for each image, as hls4ml's ``trace`` gives them."""
        if not self.config.trace_output or not self.probes:
            self.config.trace_output = True
            self.compile()
        arrays = self._batch(x)

        def run(part):
            n, record = len(part[0]), self.run_once(part)
            return self._outputs_of(record, n), self._layers_of(record, n)

        parts = _in_parts(run, arrays)
        if not parts:
            raise ExtError('there are no images to trace')
        outputs = [np.concatenate(some).astype(np.float32) for some in zip(*(outputs for outputs, _ in parts))]
        return outputs[0] if len(outputs) == 1 else outputs, _joined([traced for _, traced in parts])

    def record(self, x) -> tuple[dict[str, np.ndarray], Recording]:
        """Like :meth:`trace`, for a model that was compiled with tracing: name of each layer -> its output, and what the
        layers inside of ODE blocks give."""
        arrays, inside = self._batch(x), [layer for layer, _, _ in self.traced_inside()]

        def run(part):
            record = self.run_once(part)
            return self._layers_of(record, len(part[0])), record.probes[len(record.probes) - len(inside) :]

        layers, beats = zip(*_in_parts(run, arrays))
        beats = [np.concatenate(some) for some in zip(*beats)]
        return _joined(layers), Recording(inside, beats, len(arrays[0]))

    def _layers_of(self, record: Record, n: int) -> dict[str, np.ndarray]:
        outputs = self._outputs_of(record, n)
        traced = {}
        for (node, _, _), beats in zip(self.traced(), record.probes):
            traced[node.name] = unpack(beats, node.result_type, lanes_of(node)).reshape(n, *node.get_attr('out_shape'))
        for tensor, output in zip(self.outputs, outputs):
            if tensor in self.graph:
                traced[tensor] = output
        return traced


class Recording:
    """What the layers inside of ODE blocks give for a batch.

    Args:
        layers: The layers.
        beats: (beats, bytes) of each.
        n_images: Size of the batch.
    """

    def __init__(self, layers: list[InnerLayer], beats: list[np.ndarray], n_images: int):
        self._beats = {layer.node.name: b for layer, b in zip(layers, beats)}
        self._evaluations = {layer.node.name: layer.evaluations for layer in layers}
        self._n = n_images

    def output(self, node, evaluation: int) -> np.ndarray:
        """The output of a layer in an evaluation: float64, (images, *shape)."""
        beats = self._beats[node.name].reshape(self._n, self._evaluations[node.name], node.n_beats, -1)[:, evaluation]
        values = unpack(beats.reshape(self._n * node.n_beats, -1), node.result_type, lanes_of(node))
        return values.reshape(self._n, *node.get_attr('out_shape'))


def _joined(parts) -> dict[str, np.ndarray]:
    """The outputs of layers for parts of a batch, as those for the batch."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _in_parts(function, arrays: list[np.ndarray], workers: int | None = None) -> list:
    """What a function makes of parts of a batch, each on a thread."""
    n, workers = len(arrays[0]), workers or os.cpu_count()
    size = max(1, min(-(-n // workers), IMAGES_AT_ONCE))
    parts = [[array[start : start + size] for array in arrays] for start in range(0, n, size)]
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(function, parts))
