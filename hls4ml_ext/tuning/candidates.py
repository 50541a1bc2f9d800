"""What can be chosen for each layer of a converted network, and what each choice costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from math import gcd, lcm, prod

from hls4ml_ext.cost import Resources, engine_cost
from hls4ml_ext.estimation import layer_cost, layer_engines
from hls4ml_ext.layers.core.folding import Folding, divisors
from hls4ml_ext.layers.core.node import ExactInput, ExactLayer, positions
from hls4ml_ext.layers.ode.node import ExactODEBlock
from hls4ml_ext.layers.repack.node import ExactRepack
from hls4ml_ext.registry import rtl_kernel_of
from hls4ml_ext.rtl.project import source_of
from hls4ml_ext.tuning.loops import Loop, Stage, Timing

WIDEST = 8
"""Foldings of more than so many times the fewest products that are fast enough are left out: they only cost more."""


@dataclass(frozen=True)
class Candidate:
    """A choice for a layer.

    Attributes:
        settings: Of ``hls_config``; empty for an ODE block, whose lanes follow from the layers inside.
        lanes_in, lanes_out: Of its beats.
        cycles: For an image, all evaluations of an ODE block included.
        timing: When its beats move, if its block's evaluations wait for each other; else None.
    """

    settings: tuple[tuple[str, int | str], ...]
    lanes_in: int
    lanes_out: int
    cycles: float
    cost: Resources
    timing: Timing | None = None


@dataclass
class Slot:
    """A layer for which something is chosen.

    Attributes:
        name: Of the layer.
        node: Its node, as it was converted.
        family: Of the FPGA, for costs.
        evaluations: How often it works for an image.
        fixed: Settings that the user has made.
        block: Name of the ODE block that it is in, or ''.
        follows: Of an ODE block: the slot inside whose output lanes are its lanes.
        slack: By how much a block of few pixels takes longer for an evaluation than is known of its choices.
        waits: Whether evaluations of its block wait for each other.
    """

    name: str
    node: ExactLayer
    family: str
    evaluations: int
    fixed: dict = field(default_factory=dict)
    block: str = ''
    follows: Slot | None = None
    slack: float = 1.0
    waits: bool = False
    _cycles_of: dict[Folding, float] = field(default_factory=dict)
    _candidates_of: dict = field(default_factory=dict)  # a folding and its multipliers; None for those of an ODE block

    def converted(self, node: ExactLayer):
        """The node has been converted once more: the FIFOs around it are others, its cycles are the same."""
        self.node = node
        self._candidates_of = {}

    def candidates(self, interval: float) -> list[Candidate]:
        """The choices with which it is not slower than `interval` cycles for an image."""
        interval /= self.slack
        found = self._of_block() if isinstance(self.node, ExactODEBlock) else self._of_foldings(interval)
        return [candidate for candidate in found if candidate.cycles <= interval]

    def least_cycles(self) -> list[float]:
        """Cycles for an image that it takes at least, of each folding."""
        if isinstance(self.node, ExactODEBlock):
            return []
        return [self._least(folding) for folding in self.node.possible_foldings() if self._allowed(folding)]

    def _least(self, folding: Folding) -> float:
        """Cycles of work: a window in front may take more."""
        return self.evaluations * folding.reuse * int(self.node.get_attr('n_vectors', 0) or self.node.n_pixels)

    def _of_foldings(self, interval) -> list[Candidate]:
        possible = [f for f in self.node.possible_foldings() if self._allowed(f) and self._least(f) <= interval]
        possible.sort(key=lambda f: f.simd * f.pe)
        fast, fewest = [], 0
        for folding in possible:
            if fewest and folding.simd * folding.pe > WIDEST * fewest:
                break
            if self._cycles(folding) <= interval:
                fast.append(folding)
                fewest = fewest or folding.simd * folding.pe
        return [self._candidate(f, impl) for f in fast for impl in self._implementations()]

    def _allowed(self, folding: Folding) -> bool:
        wanted = {'SIMD': folding.simd, 'PE': folding.pe, 'ReuseFactor': folding.reuse}
        return all(wanted[key] == value for key, value in self.fixed.items() if key in wanted)

    def _implementations(self) -> tuple[str, ...]:
        fixed = self.fixed.get('MultImpl', 'auto')
        return ('lut', 'dsp') if fixed == 'auto' else (fixed,)

    def _cycles(self, folding: Folding) -> float:
        if folding not in self._cycles_of:
            node = self.node.refolded(folding)
            self._cycles_of[folding] = self.evaluations * rtl_kernel_of(node).interval(node)
        return self._cycles_of[folding]

    def _candidate(self, folding, impl) -> Candidate:
        key = (folding, impl)
        if key not in self._candidates_of:
            node = self.node.refolded(folding, mult_impl=impl)
            settings = {'SIMD': folding.simd, 'PE': folding.pe, 'MultImpl': impl}
            chosen = tuple((k, v) for k, v in settings.items() if k in self.node.settings)
            cost, cycles = layer_cost(node, self.family), self._cycles(folding)
            timing = Timing.of(rtl_kernel_of(node).process(node)) if self.waits else None
            self._candidates_of[key] = Candidate(chosen, node.lanes_in(), node.lanes_out, cycles, cost, timing)
        return self._candidates_of[key]

    def _of_block(self) -> list[Candidate]:
        """The lanes in which the state of an ODE block can travel."""
        if None not in self._candidates_of:
            node, found = self.node, []
            numbers = prod(node.get_attr('out_shape'))
            engines = layer_engines(node)
            for lanes in divisors(node.channels):
                costs = (engine_cost(e.module, in_lanes(e.parameters, lanes), self.family) for e in engines)
                cycles = self.evaluations * node.evaluations * numbers / lanes
                found.append(Candidate((), lanes, lanes, cycles, sum(costs, Resources())))
            self._candidates_of[None] = found
        return self._candidates_of[None]


def in_lanes(parameters: dict, lanes: int) -> dict:
    """The parameters of the engines of an ODE block in beats of other lanes: FIFOs hold as many bits."""
    if 'LANES' not in parameters:  # that of the time, whose lanes are those of its neighbours
        return {**parameters, 'LANES_IN': lanes}
    old = int(parameters['LANES'])
    scaled = {name: max(-(-int(parameters[name]) * old // lanes), 8) for name in ('HELD_DEPTH', 'DEPTH')}
    return {**parameters, **scaled, 'LANES': lanes, 'WORDS': int(parameters['WORDS']) * old // lanes}


@dataclass(frozen=True)
class Edge:
    """A stream from a slot to a slot; where their lanes differ stands a repack.

    Attributes:
        source, target: Numbers of the slots.
        bits: Of a number.
        numbers: That travel for an image, all evaluations included.
    """

    source: int
    target: int
    bits: int
    numbers: int


@dataclass
class Choices:
    """All that is to be chosen in a network.

    Attributes:
        family: Of the FPGA.
        slots, edges: Layers, and the streams between them.
        loops: The ODE blocks whose evaluations wait for each other.
        settled: The layers for which nothing is chosen: they follow their neighbours.
    """

    family: str
    slots: list[Slot] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    settled: list[ExactLayer] = field(default_factory=list)


def choices_of(hls_model, fixed: dict[str, dict], family: str) -> Choices:
    """What can be chosen in a converted network.

    Args:
        fixed: Name of a layer -> settings that are not to be changed.
        family: Of the FPGA.
    """
    choices = Choices(family)
    _visit(hls_model, 1, fixed, choices, None)
    return choices


def _visit(graph, evaluations: int, fixed, choices: Choices, block: Slot | None):
    slots: dict[str, Slot] = {}  # name of a node -> its slot
    inputs = {node.name for node in graph.get_layers() if isinstance(node, ExactInput)}
    for node in graph.get_layers():
        if not isinstance(node, ExactLayer):
            continue
        name = node.layer_name
        if isinstance(node, ExactODEBlock) or node.possible_foldings():
            own, inside = fixed.get(name, {}), block.name if block else ''
            slots[node.name] = slot = Slot(name, node, choices.family, evaluations, own, inside)
            slot.waits = bool(block) and block.node.evaluations > 1 and not isinstance(node, ExactODEBlock)
            choices.slots.append(slot)
            if isinstance(node, ExactODEBlock):
                _visit(node.dynamics, evaluations * node.evaluations, fixed, choices, slot)
        elif not isinstance(node, ExactRepack):
            choices.settled.append(node)

    def sources(tensor: str) -> list[Slot]:
        """The slots whose lanes a tensor has, or would have without the layers that follow their neighbours."""
        node = source_of(graph, tensor)
        if node.name in slots:
            return [slots[node.name]]
        if node.name in inputs:
            return [block] if block else []
        if isinstance(node, ExactRepack) or node.n_pixels == positions(node.input_shape()):
            return [slot for other in node.inputs for slot in sources(other)]
        return []

    def connect(slot: Slot, node):
        for tensor in node.inputs:
            for source in sources(tensor):
                variable = source_of(graph, tensor).get_output_variable(tensor)
                bits, numbers = int(variable.type.precision.width), evaluations * prod(variable.shape)
                choices.edges.append(Edge(choices.slots.index(source), choices.slots.index(slot), bits, numbers))

    for name, slot in slots.items():
        connect(slot, graph.graph[name])
    if block:
        (output,) = graph.outputs
        last = sources(output)
        block.follows = last[0] if len(last) == 1 and last[0] is not block else None
        if block.node.evaluations > 1:
            choices.loops.append(_loop(block, graph, slots, choices.slots))


def _loop(block: Slot, graph, slots: dict[str, Slot], order: list[Slot]) -> Loop:
    """The loop of an ODE block with the graph of its dynamics."""
    loop, numbers = Loop(order.index(block), block.evaluations * block.node.evaluations), {}
    for node in graph.get_layers():
        if not isinstance(node, ExactLayer):
            continue
        before = tuple(numbers.get(source_of(graph, tensor).name, -1) for tensor in node.inputs)
        numbers[node.name] = len(loop.stages)
        if node.name in slots and slots[node.name].waits:
            loop.stages.append(Stage(order.index(slots[node.name]), Timing(), before))
        elif isinstance(node, (ExactRepack, ExactODEBlock)):  # how long these take depends on what is chosen
            loop.stages.append(Stage(None, Timing(), before))
        else:
            depth = sum(rtl_kernel_of(node).process(node).depths) + 1
            loop.stages.append(Stage(None, Timing(lead=depth, tail=depth), before))
    (output,) = graph.outputs
    loop.last = numbers[source_of(graph, output).name]
    read, *_, update = rtl_kernel_of(block.node).processes(block.node)
    loop.around = sum(read.depths) + 1 + update.interval + sum(update.depths)
    return loop


@cache
def repack_cost(have: int, wanted: int, bits: int, beats_allowed: int, family: str) -> Resources | None:
    """What it takes to repack a stream.

    Args:
        have, wanted: Lanes.
        bits: Of a number.
        beats_allowed: The fewest lanes in which all numbers pass in time.

    Returns:
        None, if a stream of these lanes is too slow.
    """
    if min(have, wanted) < beats_allowed:
        return None
    if have == wanted:
        return Resources()
    steps = [(have, wanted)]
    if max(have, wanted) % min(have, wanted):
        between = gcd(have, wanted) if gcd(have, wanted) >= beats_allowed else lcm(have, wanted)
        steps = [(have, between), (between, wanted)]
    return sum(
        (engine_cost('ext_repack', {'FROM': a * bits, 'TO': b * bits, 'DEPTH': 2}, family) for a, b in steps), Resources()
    )
