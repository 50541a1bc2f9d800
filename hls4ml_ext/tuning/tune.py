"""From a target to the folding of each layer."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import yaml

from hls4ml_ext.conversion import convert
from hls4ml_ext.cost import Resources
from hls4ml_ext.devices import RESOURCES, Device, load_device
from hls4ml_ext.errors import ExtError, SettingsError
from hls4ml_ext.estimation import Estimate, estimate, layer_cost
from hls4ml_ext.layers.core.node import all_layers
from hls4ml_ext.layers.ode.node import ExactODEBlock
from hls4ml_ext.rtl.build import family_of
from hls4ml_ext.tuning.candidates import Choices, choices_of
from hls4ml_ext.tuning.problem import Solution, Undecided, share_sum, solve

ROUNDS = 5
"""Conversions after which the search for a folding whose estimate keeps what the solver promised is given up."""

COARSE = 256
"""ReuseFactor of the conversion that shows which choices there are."""


STEP = 1.01
"""From one interval that is tried to the next."""


LUT_PER_PRODUCT = 45
"""About what a product and all that comes with it takes; only where the search begins depends on it."""


@dataclass(frozen=True)
class Point:
    """A folding, and what it costs.

    Attributes:
        hls_config: For :func:`hls4ml_ext.convert`.
        estimate: Of the network that was converted with it.
    """

    hls_config: dict
    estimate: Estimate


@dataclass(frozen=True)
class Tuning(Point):
    """What :func:`tune` has found.

    Attributes:
        target: What was asked for, in words.
        share: Of each resource of the device that the network might take.
        measure: What was made as small as possible: 'cycles' from one image to the next, or 'cost', the sum of the shares of
            the device over its resources.
        value, bound: That of the folding that was found, and one below which there is none: proven by the solver for the
            layers that can be folded, without any repack between them; the cost of the others is that of the folding found.
        seconds: That it took.
    """

    target: str
    share: float
    measure: str
    value: float
    bound: float
    seconds: float

    @property
    def distance(self) -> float:
        """How far the folding may be from the best one: 0.05 is at most 5 % above it."""
        return self.value / self.bound - 1

    def hls_section(self) -> dict:
        """The ``hls`` section of a project file."""
        keys = {'SIMD': 'simd', 'PE': 'pe', 'MultImpl': 'mult_impl', 'StateStorage': 'state_storage'}
        keys |= {'ReuseFactor': 'reuse_factor', 'WeightStorage': 'weight_storage'}
        layers = {
            name: {keys[key]: value for key, value in settings.items()}
            for name, settings in self.hls_config['LayerName'].items()
        }
        period = self.estimate.clock_period
        period = int(period) if period == int(period) else period
        return {'backend': 'RTL', 'part': self.estimate.part, 'clock_period': period, 'layers': layers}

    def yaml(self) -> str:
        """The ``hls`` section of a project file, as text with what it promises."""
        found = self.estimate
        lines = [
            f'# hls4ml-ext tune: {self.target}',
            f'# estimated: {found.estimated_throughput_fps:,.0f} images per second at {1000 / found.clock_period:g} MHz, '
            f'{found.max_cycles:,} cycles an image, {found.LUT:,} LUT ({found.shares["LUT"]:.0%} of the {found.device})',
        ]
        section = yaml.safe_dump({'hls': self.hls_section()}, sort_keys=False, default_flow_style=None, width=120)
        return '\n'.join([*lines, section])


def tune(
    model, device: str | Device = 'zcu104', clock_period: float = 5, *, target_fps: float | None = None,
    max_latency_ms: float | None = None, fit: bool = False, share: float = 0.7, keep: dict | None = None,
) -> Tuning:  # fmt: skip
    """Finds the folding of a network for an FPGA: SIMD, PE and the multipliers of each layer.

    One of three things is asked for: so many images per second at the least cost; a latency at the least cost; or the
    fastest network that fits. The cost is the sum of the shares of the device that the network takes, over LUT, FF, DSP,
    block RAM and UltraRAM. Choices are found by a mixed-integer program whose coefficients are those of
    :func:`hls4ml_ext.estimate`; the folding is then converted, estimated, and corrected until it keeps what was asked
    for.

    Args:
        model: A Keras model, as for :func:`hls4ml_ext.convert`.
        device: Name of one of :func:`hls4ml_ext.devices.device_names`.
        clock_period: In ns.
        target_fps: Images per second.
        max_latency_ms: Latency of an image, in ms.
        fit: Whether to find the fastest network that fits.
        share: Of each resource of the device that the network may take: place and route needs room.
        keep: Name of a layer -> settings of ``hls_config`` that are not to be changed.

    Raises:
        ExtError: if nothing or too much is asked for, or there is no such folding: with what the device allows, and what
            limits it.
        ConversionError: if the model can't be converted.

    Example::

        tuning = hls4ml_ext.tune(model, 'zcu104', target_fps=2000)
        hls_model = hls4ml_ext.convert(model, backend='RTL', part='xczu7ev-ffvc1156-2-e', hls_config=tuning.hls_config)
    """
    if sum((target_fps is not None, max_latency_ms is not None, bool(fit))) != 1:
        raise ExtError('one target is needed: target_fps, max_latency_ms, or fit=True')
    for name, value in (('target_fps', target_fps), ('max_latency_ms', max_latency_ms), ('clock_period', clock_period)):
        if value is not None and not (isinstance(value, (int, float)) and value > 0):
            raise SettingsError(name, f'is {value!r}', 'Use a positive number')
    if not (isinstance(share, (int, float)) and 0 < share <= 1):
        raise SettingsError('share', f'is {share!r}', 'Use a number above 0 and up to 1')
    start = time.perf_counter()
    search = Search(model, device, clock_period, share, keep or {})
    if target_fps is not None:
        words, interval = f'{target_fps:,g} images per second', floor(1e9 / (target_fps * clock_period))
        point = search.for_interval(interval, words)
    elif max_latency_ms is not None:
        point, interval = search.for_latency(max_latency_ms * 1e6 / clock_period)
        words = f'a latency of {max_latency_ms:g} ms'
    else:
        point = search.fastest()
        words = f'the fastest on {share:.0%} of the {search.device.board}'
    search.forget()
    if fit:
        value, bound = point.estimate.max_cycles, search.fewest_cycles(point)
        measure = 'cycles'
    else:
        value, bound = share_sum(point.estimate, search.available), search.least_cost(interval, point)
        measure = 'cost'
    return Tuning(
        point.hls_config, point.estimate, words, share, measure, value, min(bound, value), time.perf_counter() - start
    )


def pareto(
    model, device: str | Device = 'zcu104', clock_period: float = 5, share: float = 0.7, points: int = 8,
    keep: dict | None = None,
) -> list[Point]:  # fmt: skip
    """The cheapest foldings from the fastest that fits downwards, each half as fast as the one before.

    Args:
        points: How many at most.
        model, device, clock_period, share, keep: See :func:`tune`.
    """
    search = Search(model, device, clock_period, share, keep or {})
    fastest = search.fastest()
    found, interval = [fastest], fastest.estimate.max_cycles
    while len(found) < points:
        interval *= 2
        if interval > search.intervals[-1]:
            break
        point = search.for_interval(interval, f'{interval:,} cycles')
        if share_sum(point.estimate, search.available) < share_sum(found[-1].estimate, search.available):
            found.append(point)
    return found


class Search:
    """Looks for foldings of a network on a device.

    Attributes:
        device, family, available: The FPGA, and what it has.
        choices: What can be chosen.
        intervals: Cycles for an image that are tried, increasing.
    """

    def __init__(self, model, device: str | Device, clock_period: float, share: float, keep: dict[str, dict]):
        self.model, self.clock_period, self.share = model, float(clock_period), share
        self.device = device if isinstance(device, Device) else load_device(device)
        self.family = family_of(self.device.part)
        self.available = self.device.resources
        self.keep, self.storage = keep, {}
        first = self._converted({})
        if not self.device.uram:  # a state would go to UltraRAM by its depth
            blocks = [node for node in all_layers(first) if isinstance(node, ExactODEBlock)]
            self.storage = {node.layer_name: {'StateStorage': 'bram'} for node in blocks}
            first = self._converted({})
        self.choices: Choices = choices_of(first, keep, self.family)
        self.settled = sum((layer_cost(node, self.family) for node in self.choices.settled), Resources())
        cycles = [c for slot in self.choices.slots for c in slot.least_cycles()]
        steps = np.arange(ceil(np.log(max(cycles) / min(cycles)) / np.log(STEP)) + 2)
        self.intervals = sorted({ceil(c) for c in min(cycles) * STEP**steps})

    # ------------------------------------------------------------------ targets

    def for_interval(self, interval: int, words: str) -> Point:
        """The cheapest folding of at most `interval` cycles for an image."""
        self.forget()
        slow = [slot.name for slot in self.choices.slots if not slot.candidates(interval)]
        if slow:
            raise ExtError(f"{words}: layer '{slow[0]}' can't do an image in {interval:,} cycles. {self._allows()}")
        found = self._rounds(interval)
        if found is None:
            raise ExtError(f'{words} do not fit in {self.share:.0%} of the {self.device.board}. {self._allows()}')
        return found

    def for_latency(self, cycles: float) -> tuple[Point, int]:
        """The cheapest folding with a latency of at most so many cycles, and its interval."""
        low, high, best = 0, len(self.intervals) - 1, None
        while low <= high:
            middle = (low + high) // 2
            self.forget()
            found = self._rounds(self.intervals[middle])
            if found and found.estimate.estimated_latency_cycles <= cycles:
                best, low = (found, self.intervals[middle]), middle + 1
            elif found is None:  # too fast to fit
                low = middle + 1
            else:
                high = middle - 1
        if best is None:
            fastest = self.fastest()
            latency = fastest.estimate.estimated_latency_ns / 1e6
            raise ExtError(
                f'a latency of {cycles * self.clock_period / 1e6:g} ms is not possible in {self.share:.0%} of the '
                f'{self.device.board}: the fastest network that fits has {latency:.3g} ms, limited by '
                f'{fastest.estimate.limiting_resource}'
            )
        return best

    def fastest(self) -> Point:
        """The fastest folding that fits."""
        self.forget()
        # What is possible for the solver may not be so when it is converted: then the search goes on from there.
        start, end = self._first_solved(self._limit(self.settled)), len(self.intervals)
        points = {}

        def possible(index: int) -> bool:
            points[index] = self._rounds(self.intervals[index], cheapest=False)
            return points[index] is not None

        index = first_possible(possible, start, end, start)
        if index < end:
            return points[index]
        smallest = self._solve(self.intervals[-1], None)
        cost = smallest.cost + self.settled
        worst = max((n for n in RESOURCES if self.available[n]), key=lambda n: getattr(cost, n) / self.available[n])
        raise ExtError(
            f'the network does not fit in {self.share:.0%} of the {self.device.board}: folded as far as it goes it takes '
            f'{getattr(cost, worst):,.0f} {worst} of {self.available[worst]:,}'
        )

    # ------------------------------------------------------------------ bounds

    def fewest_cycles(self, point: Point) -> int:
        """Cycles for an image below which nothing fits, even if repacks cost nothing."""
        index = self._first_solved(self._limit(self._settled_in(point)), repacks=False, undecided=True)
        return self.intervals[min(index, len(self.intervals) - 1)]

    def least_cost(self, interval: int, point: Point) -> float:
        """The cost below which there is no folding of `interval` cycles, even if repacks cost nothing."""
        solution = self._solve(interval, None, repacks=False)
        return solution.bound + share_sum(self._settled_in(point), self.available)

    def _settled_in(self, point: Point) -> Resources:
        """What the layers take that have no folding of their own."""
        chosen = {slot.name for slot in self.choices.slots}
        rows = [row for row in point.estimate.layers if row.name not in chosen and row.kind != 'repack']
        return Resources(**{name: sum(getattr(row, name) for row in rows) for name in RESOURCES})

    # ------------------------------------------------------------------ steps

    def forget(self):
        """Forgets what rounds have learned of blocks that take longer than their slowest layer."""
        for slot in self.choices.slots:
            slot.slack = 1.0

    def _first_solved(self, limit: dict[str, float], repacks: bool = True, undecided: bool = False) -> int:
        """The number of the smallest interval for which there is a choice within `limit`; of none, how many there are.

        Args:
            undecided: Whether there is one where the solver doesn't know: for a bound.
        """
        end = len(self.intervals)
        start = min(int(np.searchsorted(self.intervals, self._guess())), end - 1)

        def possible(index: int) -> bool:
            try:
                return self._solve(self.intervals[index], limit, repacks, any_choice=True) is not None
            except Undecided:
                return undecided

        return first_possible(possible, 0, end, start, step=8)

    def _guess(self) -> float:
        """The interval at which multipliers in LUTs fill the share of the device."""
        macs = sum(
            slot.evaluations * slot.node.macs for slot in self.choices.slots if not isinstance(slot.node, ExactODEBlock)
        )
        return macs * LUT_PER_PRODUCT / (self.share * self.available['LUT'])

    def _limit(self, others: Resources) -> dict[str, float]:
        """What is left for the layers that can be folded."""
        return {name: self.share * self.available[name] - getattr(others, name) for name in RESOURCES}

    def _solve(self, interval, limit, repacks: bool = True, any_choice: bool = False) -> Solution | None:
        return solve(self.choices, interval, self.available, limit, repacks, any_choice)

    def _rounds(self, interval: int, cheapest: bool = True) -> Point | None:
        """A folding that keeps `interval` and the share of the device when it is converted; None if there is none.

        How deep the FIFOs are, and how long a block of few pixels takes, depends on all foldings together: each round knows
        it from the conversion of the one before.

        Args:
            cheapest: Whether to go on as long as it gets cheaper.
        """
        others, best, seen = self.settled, None, []
        for _ in range(ROUNDS):
            try:
                solution = self._solve(interval, self._limit(others))
            except Undecided:
                break
            if solution is None or solution.chosen in seen:
                break
            seen.append(solution.chosen)
            layers = {
                slot.name: {**dict(candidate.settings), **self.keep.get(slot.name, {})}
                for slot, candidate in zip(self.choices.slots, solution.chosen)
                if candidate.settings
            }
            hls_model = self._converted(layers)
            point = self._point(layers, hls_model)
            found = point.estimate
            if found.max_cycles <= interval and all(found.shares.get(name, 0) <= self.share for name in RESOURCES):
                if best and self._cost(point) >= self._cost(best):
                    break
                best = point
                if not cheapest:
                    break
            for slow in [layer for layer in found.layers if not layer.block and layer.cycles > interval]:
                inside = [slot for slot in self.choices.slots if slot.name == slow.name or slot.block == slow.name]
                for slot in inside or self.choices.slots:
                    slot.slack *= slow.cycles / interval
            others = self._others(hls_model, found, solution)
        return best

    def _others(self, hls_model, found: Estimate, solution: Solution) -> Resources:
        """What a converted network takes besides what the solver counts; and what the solver counts from now on."""
        nodes = {node.layer_name: node for node in all_layers(hls_model)}
        for slot in self.choices.slots:
            slot.converted(nodes[slot.name])
        chosen = sum((layer_cost(slot.node, self.family) for slot in self.choices.slots), Resources())
        repacks = {n: getattr(solution.cost, n) - sum(getattr(c.cost, n) for c in solution.chosen) for n in RESOURCES}
        return Resources(**{n: getattr(found, n) - getattr(chosen, n) - repacks[n] for n in RESOURCES})

    def _cost(self, point: Point) -> float:
        return share_sum(point.estimate, self.available)

    def _point(self, layers: dict, hls_model) -> Point:
        config = {'Model': {}, 'LayerName': {**layers, **self.storage}}
        return Point(config, estimate(hls_model, self.device, self.clock_period))

    def _converted(self, layers: dict):
        settings = {**self.keep, **self.storage, **layers}
        config = {'Model': {'ReuseFactor': COARSE}, 'LayerName': {name: dict(own) for name, own in settings.items()}}
        with (
            tempfile.TemporaryDirectory() as unwritten,
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter('ignore')  # of the coarse ReuseFactor
            return convert(
                self.model, output_dir=unwritten, backend='RTL', part=self.device.part, clock_period=self.clock_period,
                hls_config=config,
            )  # fmt: skip

    def _allows(self) -> str:
        """What the device allows, in words."""
        found = self.fastest().estimate
        limit = found.limiting_resource
        return (
            f'The fastest network that fits does {found.estimated_throughput_fps:,.0f} images per second at '
            f'{1000 / self.clock_period:g} MHz ({found.max_cycles:,} cycles), with {found.shares[limit]:.0%} of {limit}'
        )


def first_possible(possible: Callable[[int], bool], begin: int, end: int, start: int, step: int = 1) -> int:
    """The smallest of the numbers from `begin` to before `end` that is possible; all above it are. `end`, if none is.

    It is looked for outwards from `start`, in steps that double, and then halfway between two numbers.
    """
    no, yes, at = begin - 1, end, start
    while yes - no > 1:
        if possible(at):
            yes = at
        else:
            no = at
        if yes == end:
            at = min(at + step, end - 1)
        elif no < begin:
            at = max(at - step, begin)
        else:
            at = (no + yes) // 2
        step *= 2
    return yes
