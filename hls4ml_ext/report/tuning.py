"""What tuning has found, for a terminal."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from hls4ml_ext.devices import RESOURCES


def verdict(tuning) -> Table:
    """What was asked for, what came of it, and how far that may be from the best.

    Args:
        tuning: A :class:`hls4ml_ext.tuning.Tuning`.
    """
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style='bold')
    table.add_column()
    table.add_row('asked for', f'{tuning.target}, in at most {tuning.share:.0%} of each resource')
    if tuning.measure == 'cycles':
        value, bound = f'{tuning.value:,.0f} cycles an image', f'{tuning.bound:,.0f}'
    else:
        value, bound = f'cost {tuning.value:.3f} (sum of the shares)', f'{tuning.bound:.3f}'
    table.add_row('found', f'{value}; none is below {bound}: at most {tuning.distance:.1%} from the best')
    table.add_row('took', f'{tuning.seconds:.1f} s')
    return table


def points_table(points) -> Table:
    """A row for each point of a sweep.

    Args:
        points: Of :func:`hls4ml_ext.tuning.pareto`.
    """
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for header in ('images/s', 'cycles', 'latency [ms]', *RESOURCES, 'multipliers'):
        table.add_column(header, justify='right', no_wrap=True)
    for point in points:
        found = point.estimate
        shares = [
            Text(f'{getattr(found, name):,} ({found.shares[name]:.0%})' if name in found.shares else '')
            for name in RESOURCES
        ]
        table.add_row(
            f'{found.estimated_throughput_fps:,.0f}', f'{found.max_cycles:,}', f'{found.estimated_latency_ns / 1e6:.3g}',
            *shares, f'{found.multipliers:,}',
        )  # fmt: skip
    return table
