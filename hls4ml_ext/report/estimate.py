"""The table of an estimate, for a terminal of 100 columns."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from hls4ml_ext.devices import RESOURCES
from hls4ml_ext.report.tables import short

WIDE = 90
"""Columns of a terminal from which on all resources are shown."""


def estimate_table(estimate, width: int = 100) -> Group:
    """A row for each layer, those inside of ODE blocks indented; the total and its share of the device; what limits it.

    Layers that the converter has put in between, repacks and copies, are one row.

    Args:
        estimate: An :class:`hls4ml_ext.estimation.Estimate`.
        width: Columns of the terminal.
    """
    resources = [r for r in RESOURCES if width >= WIDE or r not in ('FF', 'URAM')]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for i, header in enumerate(('layer', 'SIMD x PE', 'cycles', 'busy', *resources)):
        table.add_column(header, justify='left' if i == 0 else 'right', no_wrap=True)
    between = []
    for layer in estimate.layers:
        if layer.inserted:
            between.append(layer)
            continue
        name = '  ' + layer.name.removeprefix(f'{layer.block}.') if layer.block else layer.name
        cells = [name, folding(layer), f'{layer.cycles:,}', f'{layer.busy:.0%}']
        table.add_row(*cells, *(number(getattr(layer, r)) for r in resources), style='dim' if layer.block else '')
    if between:
        sums = [total(between, r) for r in resources]
        table.add_row(f'between them ({len(between)})', '', '', '', *map(number, sums))
    table.add_section()
    table.add_row(
        'total', '', f'{estimate.max_cycles:,}', '', *(number(getattr(estimate, r)) for r in resources), style='bold'
    )
    shares = [share(estimate.shares.get(r)) for r in resources]
    table.add_row(f'of the {estimate.device}', '', '', '', *shares)
    return Group(table, summary(estimate))


def folding(layer) -> str:
    if not layer.SIMD:
        return ''
    return f'{layer.SIMD} x {layer.PE}' if layer.PE else f'{layer.SIMD}'


def number(n: float | None) -> str:
    return '?' if n is None else f'{n:,.0f}' if round(n) else ''


def total(layers, resource: str) -> float | None:
    values = [getattr(layer, resource) for layer in layers]
    return None if None in values else sum(values)


def share(part: float | None) -> Text:
    if part is None:
        return Text('')
    return Text(f'{part:.0%}', style='red' if part > 1 else 'green')


def summary(estimate) -> Table:
    """Speed, what limits it, and whether the network fits, in a few lines."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style='bold')
    table.add_column()
    mhz = f'{1000 / estimate.clock_period:g} MHz'
    table.add_row('throughput', f'{estimate.estimated_throughput_fps:,.0f} images per second at {mhz}')
    table.add_row('latency', f'{estimate.estimated_latency_ns / 1e6:.3g} ms ({estimate.estimated_latency_cycles:,} cycles)')
    busy = f'busy {estimate.efficiency:.0%} of the time'
    table.add_row('work', f'{short(estimate.macs)} MAC an image, {estimate.multipliers:,} multipliers, {busy}')
    slowest = f'{estimate.max_cycles_node_name}, {estimate.max_cycles:,} cycles an image'
    following = estimate.next_slowest
    if following:
        slowest += f'; without it {following.name}, {following.cycles:,}'
    table.add_row('limits speed', slowest)
    limit = estimate.limiting_resource
    table.add_row('limits fit', f'{limit}: {estimate.shares[limit]:.0%} of the {estimate.device}')
    unknown = [layer.name for layer in estimate.layers if layer.LUT is None]
    if estimate.backend != 'RTL':
        table.add_row('LUT, FF', 'not known: the model of their cost is of the RTL back end, not of C++ for HLS')
    elif unknown:
        table.add_row('LUT, FF', f'not known: {", ".join(unknown)} does not say what its engines consist of (rtl_costs)')
    elif estimate.known_error:
        table.add_row('LUT, FF', f'estimated; {error(estimate.known_error)}')
    else:
        table.add_row('LUT, FF', 'estimated by the fit to another family; how far off that is here has not been measured')
    verdict = Text('yes', style='green bold') if estimate.fits else Text('no', style='red bold')
    if estimate.LUT is None and estimate.fits:
        verdict = Text('as far as it is known', style='bold')
    table.add_row('fits', verdict)
    return table


def error(known: dict) -> str:
    """How far LUTs and flip-flops have been from synthesis, in words.

    Args:
        known: From :func:`hls4ml_ext.cost.known_error`.
    """
    engines = ', '.join(
        f'{name} {found["median"]:.1%} and at most {known["large"].get(name, found)["worst"]:.0%}'
        for name, found in known['engines'].items()
    )
    networks = ', '.join(f'{name} {of["LUT"]:+.1%}' for name, of in known['networks'].items() if 'LUT' in of)
    text = f'off by {engines} (engines that were not in the fit: median; large ones at most)'
    return text + (f'; LUT of whole networks: {networks}' if networks else '')
