"""Graph node of the Neural-ODE block."""

from __future__ import annotations

from functools import cached_property
from math import prod

import numpy as np
from hls4ml.model.attributes import Attribute
from hls4ml.model.types import Serializable

from hls4ml_ext.fixed import FixedType, Range
from hls4ml_ext.layers.core.memory import Memory, Products
from hls4ml_ext.layers.core.node import ExactLayer, pipeline_depth
from hls4ml_ext.layers.core.schedule import Process, dependence, earliest, fifo_depths, latest, processes_of

STORAGE = ('auto', 'uram', 'bram', 'lutram')


class ExactODEBlock(ExactLayer):
    """A Neural-ODE block: one node that owns the graph of its dynamics.

    The state travels and is stored in words of the lanes in which the dynamics gives its slopes. An evaluation reads the
    state (the first one: the block's input), passes it through the dynamics, and combines slopes into the next state as they
    come out; it writes that into a second buffer (the last one: the block's output). The next evaluation reads that one and
    writes the first: a buffer is read by one process and written by another, never both at the same time.

    The state at the beginning of a step is also needed where slopes come out. It is held in a FIFO, as long as the dynamics
    takes; later stages of the step find it in a buffer of their own, and so do they earlier slopes.

    Attributes:
        dynamics: The :class:`~hls4ml_ext.layers.core.subgraph.SubGraph` of the dynamics; its layers are named
            ``'block.layer'``.
        coefficients: n_stages rows of n_stages stored integers: row i combines slopes into the input of stage i + 1, the
            last row into the next state.
        times: Stored integers of the time at each evaluation.
        state_storage: 'auto', 'uram', 'bram' or 'lutram'.
    """

    kind = 'ode_block'
    free_lanes = False
    # The state's own type is its result; a narrower one is rounded to as the state is given away.
    fuses_quantizer = True

    _expected_attributes = [
        Attribute('dynamics', value_type=Serializable),
        Attribute('n_steps', value_type=int),
        Attribute('n_stages', value_type=int),
        Attribute('coefficients', value_type=(list, tuple)),
        Attribute('coefficient_frac', value_type=int),
        Attribute('times', value_type=(list, tuple)),
        Attribute('time_channel', value_type=bool),
        Attribute('state_type', value_type=str),
        Attribute('state_storage', value_type=str),
    ]

    @property
    def dynamics(self):
        """The hls4ml graph of the dynamics."""
        return self.get_attr('dynamics').graph

    @property
    def settings(self):
        return {'StateStorage': self.get_attr('state_storage')}

    def inner_layers(self):
        return [n for n in self.dynamics.get_layers() if isinstance(n, ExactLayer)]

    # What hls4ml's writer asks a layer for, with that of the layers inside.

    def get_weights(self, var_name=None):
        if var_name:
            return self.weights[var_name]
        return [w for node in self.dynamics.get_layers() for w in node.get_weights()]

    def get_layer_precision(self):
        return {**self.get_attr('dynamics').types(), **super().get_layer_precision()}

    # ------------------------------------------------------------------ solver

    @property
    def evaluations(self) -> int:
        """How often the dynamics runs for one image."""
        return self.get_attr('n_steps') * self.get_attr('n_stages')

    def coefficients_of(self, slope: int) -> list[int]:
        """The stored coefficients of a slope, one for each stage."""
        return [int(row[slope]) for row in self.get_attr('coefficients')]

    def is_shift(self, slope: int) -> bool:
        """Whether every coefficient of a slope is zero or a power of two."""
        return all(abs(x) & (abs(x) - 1) == 0 for x in self.coefficients_of(slope))

    @property
    def coefficient_width(self) -> int:
        """Bits of the coefficients that are multiplied with, sign included."""
        n = self.get_attr('n_stages')
        multiplied = [x for j in range(n) if not self.is_shift(j) for x in self.coefficients_of(j)] or [0]
        return Range(min(multiplied), max(multiplied), 0).signed_bits

    @property
    def kept_slopes(self) -> list[int]:
        """The slopes that a later stage of their step needs again."""
        return [j for j in range(self.get_attr('n_stages')) if any(self.coefficients_of(j)[j + 1 :])]

    # ------------------------------------------------------------------ beats

    @property
    def lanes_out(self):
        return self.get_attr('dynamics').lanes_out

    def lanes_in(self, i: int = 0):
        return self.lanes_out

    @cached_property
    def _processes(self) -> list[Process]:
        """The processes of one evaluation: reading the state, those of the dynamics, the update."""
        sub, words = self.get_attr('dynamics'), self.n_beats
        (source,) = sub.graph.inputs
        (slope,) = sub.graph.outputs
        inner = [process for process in processes_of(sub.graph) if process.inputs]
        read = Process((), (source, 'held'), words, depths=(pipeline_depth(memories=True),))
        if self.get_attr('time_channel'):
            beats = prod(sub.input.shape) // sub.lanes_in
            per_pixel, words_per_pixel = beats // self.n_pixels, self.channels // self.lanes_out
            # A pixel goes out while the next comes in.
            pixel, slot = np.divmod(np.arange(beats), per_pixel)
            needed = np.minimum((pixel + 1) * words_per_pixel + np.minimum(slot, words_per_pixel - 1), words - 1)
            add_time = Process(('state',), (source,), beats, (needed,), (words,), depths=(pipeline_depth(),))
            read = Process((), ('state', 'held'), words, depths=read.depths)
            inner = [add_time, *inner]
        every = np.arange(words)
        depth = pipeline_depth(True, self.get_attr('n_stages'))
        update = Process((slope, 'held'), ('next',), words, (every, every), (words, words), depths=(depth,))
        return [read, *inner, update]

    @cached_property
    def held_depth(self) -> int:
        """Words of the state that wait for their slopes."""
        return fifo_depths(self._processes, ['next'])['held']

    @cached_property
    def _evaluation(self) -> tuple[np.ndarray, np.ndarray]:
        """When the words of the state are read in an evaluation, and when those of the next are written."""
        written = earliest(self._processes, None, False)[0]['next']
        read = latest(self._processes, ['next'], stalls=False).given['held']
        return read, written

    @property
    def evaluation_cycles(self) -> int:
        """Cycles of one evaluation: the latency of the dynamics, pipelines included."""
        return int(np.ceil(self._evaluation[1][-1]))

    @property
    def cycles(self):
        return self.evaluations * self.evaluation_cycles

    def last_input_of(self, i: int = 0):
        if self.evaluations == 1:
            return dependence(self._processes, 'held', 'next', stalls=False)
        return np.full(self.n_beats, self.n_beats - 1)

    # The block takes its input during the first evaluation and gives its output during the last.

    @property
    def input_interval(self):
        read, _ = self._evaluation
        return 1 if self.evaluations == 1 else max(float(read[-1] - read[0]) / max(len(read) - 1, 1), 1)

    @property
    def interval(self):
        if self.evaluations == 1:
            return super().interval
        _, written = self._evaluation
        return max(float(written[-1] - written[0]) / max(len(written) - 1, 1), 1)

    @property
    def delay(self):
        if self.evaluations == 1:
            return 0
        return self.cycles - (self.n_beats - 1) * self.input_interval - self.n_beats * self.interval

    @property
    def pipeline_depths(self):
        if self.evaluations > 1:  # it has the whole image inside before it gives the first result
            return (0,)
        stalled = dependence(self._processes, 'held', 'next', stalls=True)
        return (int((stalled - self.last_input_of()).max()), 0)

    # ------------------------------------------------------------------ costs

    @property
    def products(self):
        n = sum(not self.is_shift(j) for j in range(self.get_attr('n_stages')))
        return [Products(n * self.lanes_out, (self.slope_type.width, self.coefficient_width))] if n else []

    @property
    def multipliers(self):
        return super().multipliers + sum(n.multipliers for n in self.inner_layers())

    @property
    def macs(self):
        return self.evaluations * sum(n.macs for n in self.inner_layers())

    @property
    def memories(self):
        words, lanes, storage = self.n_beats, self.lanes_out, self.get_attr('state_storage')
        state, slope = self.state_type, self.slope_type

        def state_memory(name):
            return Memory(name, words, lanes, state.width, signed=state.signed, storage=storage)

        found = [state_memory('x'), state_memory('y')] if self.evaluations > 1 else []
        if self.get_attr('n_stages') > 1:
            found.append(state_memory('z'))
        if self.kept_slopes:
            banks = len(self.kept_slopes)
            found.append(Memory('earlier', words, lanes, slope.width, signed=slope.signed, storage=storage, banks=banks))
        return found

    @property
    def state_type(self) -> FixedType:
        """The type of the state: that of its input."""
        return self.input_type()

    @property
    def slope_type(self) -> FixedType:
        """The type of the dynamics' output."""
        return FixedType.from_hls4ml(self.get_attr('dynamics').output.type.precision)
