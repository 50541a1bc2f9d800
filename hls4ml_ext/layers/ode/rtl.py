"""The SystemVerilog of the Neural-ODE block."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hls4ml_ext.layers.core.schedule import Process, earliest, fifo_depths, just_in_time, process_of
from hls4ml_ext.layers.ode.node import ExactODEBlock
from hls4ml_ext.rtl.body import Verbatim
from hls4ml_ext.rtl.kernel import (
    FIFO_LATENCY,
    ROUND_TRIP,
    RTLKernel,
    adder_tree_latency,
    depth,
    implementation,
    once_for_a_node,
    result_type,
    stream_of,
    style,
)

READ_PIPELINE = 2
"""Cycles from the decision to read a word to the word."""

READ_DEPTH = READ_PIPELINE + FIFO_LATENCY - 1
"""What a process calls the depth of this: the cycle of work is not in it."""


SETTLED = 4
"""Evaluations after which one follows the other as all later ones do."""


class ODEKernel(RTLKernel):
    """The engine with the two ends of the dynamics, and the engines of the dynamics between them."""

    node = ExactODEBlock

    def place(self, node, body, inputs, outputs):
        from hls4ml_ext.rtl.project import place_graph

        sub = node.get_attr('dynamics')
        (tensor,), (slope,) = sub.graph.inputs, sub.graph.outputs
        slopes = body.stream(*stream_of(sub.graph.graph[slope], slope))
        source = body.stream(sub.input.name, sub.lanes_in * node.state_type.width)
        states = source
        if node.get_attr('time_channel'):
            states = body.stream(f'{node.identifier}_state', node.lanes_out * node.state_type.width)
        body.engine('ext_ode_block', node.identifier, self.parameters(node), [*inputs, slopes], [states, *outputs])
        if node.get_attr('time_channel'):
            body.engine('ext_ode_time', f'{node.identifier}_add_time', self._time_parameters(node), [states], [source])
        place_graph(sub.graph, body, {tensor: source}, {slope: slopes})

    def parameters(self, node) -> dict:
        state, slope, n = node.state_type, node.slope_type, int(node.get_attr('n_stages'))
        product_frac = slope.frac + int(node.get_attr('coefficient_frac'))
        frac = max(state.frac, product_frac)
        coefficients = [int(x) for row in node.get_attr('coefficients') for x in row]
        memories = {m.name: style(m) for m in node.memories}
        return {
            'WORDS': node.n_beats, 'LANES': node.lanes_out, 'N_STEPS': node.get_attr('n_steps'), 'N_STAGES': n,
            'W_Z': state.width, 'Z_SIGNED': state.signed, 'Z_SHIFT': frac - state.frac, 'Z_ROUNDING': state.rounding,
            'Z_SATURATION': state.saturation, 'W_K': slope.width, 'K_SIGNED': slope.signed, 'K_SHIFT': frac - product_frac,
            'W_C': node.coefficient_width, 'COEFFICIENTS': packed(coefficients, 32),
            'SHIFTS': packed([node.is_shift(j) for j in range(n)], 1),
            'KEPT': packed([j in node.kept_slopes for j in range(n)], 1),
            'IMPL': implementation(node.products), 'W_A': node.get_attr('acc_width'),
            **result_type(node.result_type, state.frac),
            'HELD_DEPTH': self.held_depth(node) + READ_PIPELINE + ROUND_TRIP, 'INPUT_DEPTH': READ_PIPELINE + ROUND_TRIP + 1,
            'DEPTH': depth(node, self.pipeline(node)), 'STATE_STYLE': memories.get('x', memories.get('z', 'auto')),
            'KEPT_STYLE': memories.get('earlier', 'auto'),
        }  # fmt: skip

    @staticmethod
    def pipeline(node) -> int:
        """Cycles from a slope to the result."""
        return 7 + adder_tree_latency(int(node.get_attr('n_stages')) + 1)

    def held_depth(self, node) -> int:
        """Words of the state that wait for their slopes: of one evaluation at most, or, if there is only one, also those of
        the images behind it, which nothing keeps from coming in."""
        if node.evaluations > 1:
            return node.held_depth
        return max(fifo_depths(self.processes(node), ['next'], self.period(node), stalls=False)['held'], node.held_depth)

    # ------------------------------------------------------------------ cycles

    def processes(self, node) -> list[Process]:
        """The processes of an evaluation, with the timing of the engines."""
        from hls4ml_ext.registry import rtl_kernel_of

        read, *inner, update = node.processes
        layers = {n.outputs[0]: n for n in node.inner_layers()}
        timed = [replace(read, depths=(READ_DEPTH,))]
        for process in inner:
            layer = layers.get(process.outputs[0])
            if layer is None:  # the time
                timed.append(replace(process, depths=(FIFO_LATENCY,)))
                continue
            timed.append(rtl_kernel_of(layer).process(layer))
        return [*timed, replace(update, depths=(self.pipeline(node) - 2,))]

    @once_for_a_node
    def evaluation(self, node) -> tuple[np.ndarray, np.ndarray]:
        """When the words of the state are read in an evaluation, and when they have been updated."""
        processes = self.processes(node)
        updated = earliest(processes, None, False)[0]['next']
        read = just_in_time(processes, ['next'], stalls=False).given['held'] - READ_DEPTH - 1
        return read, updated

    @once_for_a_node
    def period(self, node) -> int:
        """Cycles from one evaluation to the next: those of the slowest engine of the dynamics, or, for few words, the time
        in which they come back."""
        from hls4ml_ext.registry import rtl_kernel_of

        read, updated = self.evaluation(node)
        slowest = max(rtl_kernel_of(layer).interval(layer) for layer in node.inner_layers())
        if node.evaluations > 1 and (updated - read).max() > slowest:  # no word takes longer than this
            chain = [Process((), ('state',), node.n_beats), *self._chain(node, 'state', SETTLED)]
            given = earliest(chain, None, False)[0]
            ends = [given[f'next@{node.identifier}.{k}'][-1] for k in range(SETTLED)]
            slowest = max(slowest, *np.diff(ends)[1:])
        return int(np.ceil(slowest))

    def process(self, node):
        """It takes its input in the first evaluation, as fast as this goes, and gives its output in the last one."""
        read, updated = self.evaluation(node)
        words, last = node.n_beats, max(node.n_beats - 1, 1)
        pace = max(float(updated[-1] - updated[0]) / last, 1)
        if node.evaluations == 1:
            needed = node.last_input_of()
            depth = int(np.ceil((updated - read[needed]).max()))
            return replace(process_of(node), interval=pace, input_interval=1, delay=0, depths=(depth, self.latency(node)))
        taken = max(float(read[-1] - read[0]) / last, 1)
        first = (node.evaluations - 1) * self.period(node) + float(updated[0] - read[0])
        delay = max(first - (words - 1) * taken - pace, 0)
        return replace(process_of(node), interval=pace, input_interval=taken, delay=delay, depths=(self.latency(node),))

    def steps(self, node):
        """All evaluations, and the output."""
        words, every, (output,) = node.n_beats, np.arange(node.n_beats), node.outputs
        last = f'next@{node.identifier}.{node.evaluations - 1}'
        chain = self._chain(node, node.inputs[0], node.evaluations)
        return [*chain, Process((last,), (output,), words, (every,), (words,), depths=(self.latency(node) - 1,))]

    def _chain(self, node, state: str, evaluations: int) -> list[Process]:
        """The processes of evaluations, one behind the other: each reads the words that the one before has updated.

        Args:
            state: The stream that the first one reads.
        """
        from hls4ml_ext.registry import rtl_kernel_of

        words, every = node.n_beats, np.arange(node.n_beats)
        busy = {n.outputs[0]: rtl_kernel_of(n).interval(n) for n in node.inner_layers()}
        processes, found = self.processes(node), []
        for k in range(evaluations):
            for i, process in enumerate(processes):
                step = replace(
                    process,
                    inputs=tuple(f'{name}@{node.identifier}.{k}' for name in process.inputs),
                    outputs=tuple(f'{name}@{node.identifier}.{k}' for name in process.outputs),
                    engine=f'{node.identifier}.{i}',
                    busy=busy.get(process.outputs[0]),
                )
                if not process.inputs:  # reads the state
                    step = replace(step, inputs=(state,), needed=(every,), input_beats=(words,))
                found.append(step)
            state = f'next@{node.identifier}.{k}'
        return found

    def ahead(self, node):
        """The windows inside take the first evaluation of the next image for what completes the last one of this."""
        from hls4ml_ext.registry import rtl_kernel_of

        layers = [(layer, rtl_kernel_of(layer).ahead(layer)) for layer in node.inner_layers()]
        return sum(-(-beats * node.n_beats // layer.input_beats()) for layer, beats in layers)

    def interval(self, node):
        return node.evaluations * self.period(node)

    def cycles(self, node):
        read, updated = self.evaluation(node)
        return (node.evaluations - 1) * self.period(node) + int(np.ceil(updated[-1] - read[0]))

    def latency(self, node):
        return FIFO_LATENCY + 2

    @staticmethod
    def _time_parameters(node) -> dict:
        state, times = node.state_type, [int(t) for t in node.get_attr('times')]
        return {
            'PIXELS': node.n_pixels, 'CHANNELS': node.channels, 'W': state.width, 'LANES_IN': node.lanes_out,
            'LANES_OUT': node.get_attr('dynamics').lanes_in, 'N_EVALUATIONS': node.evaluations,
            'TIMES': packed(times, state.width),
        }  # fmt: skip


def packed(numbers: list[int], width: int) -> Verbatim:
    """Numbers as one constant, the first one in the low bits."""
    value = sum((int(x) & ((1 << width) - 1)) << (width * i) for i, x in enumerate(numbers))
    return Verbatim(f"{width * len(numbers)}'h{value:x}")
