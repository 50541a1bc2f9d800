"""The estimate of a network: cycles, resources, and what limits them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil

from hls4ml_ext.cost import known_error
from hls4ml_ext.devices import RESOURCES, Device, device_names, device_of_part, load_device
from hls4ml_ext.errors import ExtError
from hls4ml_ext.estimation.layers import family_of_graph, known_cost
from hls4ml_ext.graph import check_hls_model
from hls4ml_ext.layers.core.node import ExactLayer
from hls4ml_ext.layers.core.schedule import latency, process_of, processes_of
from hls4ml_ext.registry import rtl_kernel_of
from hls4ml_ext.rtl.schedule import latency as rtl_latency


@dataclass(frozen=True)
class LayerEstimate:
    """A layer of an estimate.

    Attributes:
        name: Of the layer; one inside of an ODE block is called 'block.layer'.
        kind: What it does, in a word.
        block: Name of the ODE block that it is in, or ''.
        inserted: Whether the converter has put it in between: a repack or a copy of a stream.
        cycles: Cycles of work for an image; of a layer inside of an ODE block, for all of its evaluations.
        busy: Share of the interval of the network in which it works.
        macs: Multiply-accumulates for an image.
        multipliers: Products in a cycle; those of an ODE block without the layers inside.
        SIMD, PE: Its folding; None where there is none.
        LUT, FF: None where there is no model of their cost.
        DSP, BRAM_18K, URAM: Those of an ODE block without the layers inside.
    """

    name: str
    kind: str
    block: str
    inserted: bool
    cycles: int
    busy: float
    macs: int
    multipliers: int
    SIMD: int | None
    PE: int | None
    LUT: float | None
    FF: float | None
    DSP: int
    BRAM_18K: int
    URAM: int


@dataclass(frozen=True)
class Estimate:
    """What a network costs on a device, and how fast it is.

    Names are those of FINN's and hls4ml's reports where these have one.

    Attributes:
        device, part: Name of the board and of its FPGA.
        backend: 'RTL', 'Vitis' or 'Vivado': cycles and memories are those of its spelling of the layers.
        clock_period: In ns.
        max_cycles: Cycles from one image to the next, those of the slowest layer.
        max_cycles_node_name: That layer.
        estimated_latency_cycles: From the first beat of an image to the last beat of its result.
        LUT, FF, DSP, BRAM_18K, URAM: Of the whole network. LUT and FF are None for HLS back ends, whose C++ nothing here has
            synthesized, and where a layer of the user's own doesn't say what its engines consist of.
        available: The same of the device.
        multipliers, macs: Products in a cycle, and multiply-accumulates for an image.
        layers: :class:`LayerEstimate` of each layer; those inside of ODE blocks come behind their block.
        known_error: How far the figures for LUT and FF have been from synthesis; see :func:`hls4ml_ext.cost.known_error`.
    """

    device: str
    part: str
    backend: str
    clock_period: float
    max_cycles: int
    max_cycles_node_name: str
    estimated_latency_cycles: int
    LUT: int | None
    FF: int | None
    DSP: int
    BRAM_18K: int
    URAM: int
    available: dict[str, int]
    multipliers: int
    macs: int
    layers: tuple[LayerEstimate, ...]
    known_error: dict | None = None

    @property
    def estimated_throughput_fps(self) -> float:
        """Images per second."""
        return 1e9 / (self.max_cycles * self.clock_period)

    @property
    def estimated_latency_ns(self) -> float:
        """Time of one image alone."""
        return self.estimated_latency_cycles * self.clock_period

    @property
    def efficiency(self) -> float:
        """Share of its multipliers that work: multiply-accumulates / (multipliers * interval)."""
        return self.macs / (self.multipliers * self.max_cycles) if self.multipliers else 0.0

    @property
    def shares(self) -> dict[str, float]:
        """Resource -> share of the device, of those that are known and that the device has or the network needs."""
        found = {}
        for name in RESOURCES:
            needed, have = getattr(self, name), self.available[name]
            if needed is not None and (needed or have):
                found[name] = needed / have if have else float('inf')
        return found

    @property
    def fits(self) -> bool:
        """Whether the network needs no more than the device has, of what is known."""
        return all(share <= 1 for share in self.shares.values())

    @property
    def limiting_resource(self) -> str:
        """The resource of which the network takes the largest share."""
        return max(self.shares, key=self.shares.get)

    @property
    def next_slowest(self) -> LayerEstimate | None:
        """The layer that limits the throughput when the slowest one has become faster."""
        others = [layer for layer in self.layers if layer.cycles < self.max_cycles and not layer.block]
        return max(others, key=lambda layer: layer.cycles, default=None)

    def to_dict(self) -> dict:
        """Plain numbers and names, for JSON."""
        derived = ('estimated_throughput_fps', 'estimated_latency_ns', 'efficiency', 'shares', 'fits', 'limiting_resource')
        fields = asdict(self)
        layers = fields.pop('layers')
        return {**fields, **{name: getattr(self, name) for name in derived}, 'layers': list(layers)}

    def table(self, width: int = 100):
        """A table for a terminal; see :mod:`hls4ml_ext.report.estimate`."""
        from hls4ml_ext.report.estimate import estimate_table

        return estimate_table(self, width)


def estimate(hls_model, device: str | Device | None = None, clock_period: float | None = None) -> Estimate:
    """Estimates what a converted network costs on an FPGA and how fast it is, in seconds, from its graph alone.

    Cycles, multipliers, DSPs, block RAMs and UltraRAMs are counted; those of the RTL back end are what ``measure_cycles``
    and synthesis find. LUTs and registers come from a model that was fitted to synthesized engines of the RTL back end; how
    good it is, ``known_error`` says.

    Args:
        hls_model: From :func:`hls4ml_ext.convert`; it need not be written or compiled.
        device: Name of one of :func:`hls4ml_ext.devices.device_names`; None is the one of the model's part.
        clock_period: In ns; None is that of the model.

    Raises:
        ExtError: if it is no model of ours, or the device isn't known.

    Example::

        hls_model = hls4ml_ext.convert(model, backend='RTL')
        estimate = hls4ml_ext.estimate(hls_model, 'kv260')
        print(estimate.estimated_throughput_fps, estimate.fits, estimate.limiting_resource, estimate.shares)
    """
    check_hls_model(hls_model)
    nodes = [node for node in hls_model.get_layers() if isinstance(node, ExactLayer)]
    if not nodes:
        raise ExtError('none of the layers of this model is one of hls4ml_ext: there is nothing to estimate')
    device = chosen_device(hls_model, device)
    period = float(clock_period or hls_model.config.get_config_value('ClockPeriod'))
    family = family_of_graph(hls_model, device.part)
    is_rtl = family is not None
    interval = {node: ceil(_interval(node, is_rtl)) for node in nodes}
    slowest = max(nodes, key=lambda node: interval[node])
    layers = []
    for node in nodes:
        layers += _layers(node, '', 1, interval[slowest], family)
    cycles = rtl_latency(hls_model) if is_rtl else latency(processes_of(hls_model), hls_model.outputs)
    known = family is not None and all(layer.LUT is not None for layer in layers)
    return Estimate(
        device=device.board,
        part=device.part,
        backend=hls_model.config.backend.name,
        clock_period=period,
        max_cycles=interval[slowest],
        max_cycles_node_name=slowest.layer_name,
        estimated_latency_cycles=int(cycles),
        LUT=round(sum(layer.LUT for layer in layers)) if known else None,
        FF=round(sum(layer.FF for layer in layers)) if known else None,
        **{name: int(sum(getattr(layer, name) for layer in layers)) for name in ('DSP', 'BRAM_18K', 'URAM')},
        available=device.resources,
        multipliers=sum(layer.multipliers for layer in layers),
        macs=sum(layer.macs for layer in layers),
        layers=tuple(layers),
        known_error=known_error(family) if family else None,
    )  # fmt: skip


def chosen_device(hls_model, device: str | Device | None) -> Device:
    """The device to estimate for.

    Raises:
        ExtError: if it isn't known.
    """
    if isinstance(device, Device):
        return device
    if device is not None:
        return load_device(device)
    part = str(hls_model.config.get_config_value('Part'))
    found = device_of_part(part)
    if found is None:
        raise ExtError(f"no device file has the FPGA '{part}' of the model. Give a device: {', '.join(device_names())}")
    return found


def _interval(node, is_rtl: bool) -> float:
    """Cycles from one image to the next."""
    return rtl_kernel_of(node).interval(node) if is_rtl else process_of(node).period


def _layers(node, block: str, evaluations: int, interval: int, family: str | None) -> list[LayerEstimate]:
    """A layer, and those inside of it.

    Args:
        evaluations: How often it works for an image.
        interval: Cycles of the network from one image to the next.
    """
    inner = node.inner_layers()
    is_rtl = family is not None
    cycles = ceil(evaluations * (_interval(node, is_rtl) if is_rtl or not block else node.cycles))
    cost, is_known = known_cost(node, family)
    row = LayerEstimate(
        name=node.layer_name,
        kind=node.kind,
        block=block,
        inserted=node.inserted,
        cycles=cycles,
        busy=min(cycles / interval, 1.0),
        macs=0 if inner else evaluations * int(node.macs),
        multipliers=int(node.multipliers) - sum(int(layer.multipliers) for layer in inner),
        SIMD=node.get_attr('simd', None),
        PE=node.get_attr('pe', None),
        LUT=cost.LUT if is_known else None,
        FF=cost.FF if is_known else None,
        DSP=int(cost.DSP),
        BRAM_18K=int(cost.BRAM_18K),
        URAM=int(cost.URAM),
    )
    rows = [row]
    for layer in inner:
        times = evaluations * int(node.evaluations) if hasattr(node, 'evaluations') else evaluations
        rows += _layers(layer, row.name, times, interval, family)
    return rows
