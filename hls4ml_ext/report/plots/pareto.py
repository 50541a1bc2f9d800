"""Images per second against what they cost."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hls4ml_ext.report.plots.labels import spread
from hls4ml_ext.report.plots.style import BLUE, GREY, ORANGE, RED, headed, legend, nonempty, picture
from hls4ml_ext.report.rivals import rivals

PANELS = (
    ('LUT', 'LUTs', lambda point: point['LUT'], lambda rival: rival.LUT),
    ('DSP', 'DSPs', lambda point: point['DSP'], lambda rival: rival.DSP),
    (None, 'latency [ms]', lambda point: point['estimated_latency_ns'] / 1e6, lambda rival: rival.latency_ms),
)
"""Resource of the device, label, and value of one of our points and of a published one."""

SHARE = 0.7
"""Of the device, which is what routes without trouble."""


def pareto_plot(points, device, path, share: float = SHARE, dataset: str | None = None, family: str = 'xcup') -> Path:
    """Images per second of foldings of a network, against LUTs, DSPs and latency.

    The line goes through the points that no other one beats in both. What needs more of the device than `share` is hollow.

    Args:
        points: Estimates (:class:`hls4ml_ext.estimation.Estimate`, or what their ``to_dict`` gives), or what has one as
            ``estimate``. A dictionary may have a ``name``, which is written beside the point.
        device: A :class:`hls4ml_ext.devices.Device`.
        path: The PNG to write.
        share: Part of the device that may be used.
        dataset: Name of the data set; published systems on the same one are drawn beside.
        family: Of the device; those on another one are hollow.

    Returns:
        The path.

    Raises:
        ProjectError: if there is no point.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    estimates = [getattr(point, 'estimate', point) for point in points]
    rows = [found if isinstance(found, dict) else found.to_dict() for found in estimates]
    nonempty(rows, 'Pareto front')
    others = [rival for rival in rivals(dataset) if rival.comparable] if dataset else []
    available = {'LUT': device.lut, 'DSP': device.dsp}
    speeds = np.array([row['estimated_throughput_fps'] for row in rows])
    inside = np.array([all(row[r] is None or row[r] <= share * have for r, have in available.items()) and
                       row.get('fits', True) for row in rows])  # fmt: skip
    widths = [1, 1, 1] + ([1.15] if others else [])
    with picture(path, 9.6 if others else 8.4, 3.6, ncols=len(widths), sharey=True, width_ratios=widths) as (fig, axes):
        for ax, (resource, label, of_point, of_rival) in zip(axes, PANELS):
            _panel(ax, [of_point(row) for row in rows], speeds, inside)
            for row in rows:
                if row.get('name') and of_point(row) is not None:
                    ax.annotate(row['name'], (of_point(row), row['estimated_throughput_fps']), (5, -3),
                                textcoords='offset points', fontsize=8, va='top')  # fmt: skip
            shown = [(of_rival(r), r.images_per_second, r.family == family) for r in others if of_rival(r) is not None]
            for x, y, same in shown:
                ax.plot(x, y, 'D', color=ORANGE, ms=6, mfc=ORANGE if same else 'white', mew=1.5, zorder=4)
            if resource:
                have = available[resource]
                for part, style in ((share, (0, (4, 2))), (1.0, '-')):
                    ax.axvline(part * have, color=RED, lw=1.1, ls=style, zorder=1)
                values = [value for row in rows if (value := of_point(row)) is not None]
                if (
                    values and min(values) > 0 and max(values) < share * have / 2
                ):  # far from the limit: in a linear scale, a heap
                    ax.set_xlim(min(values) / 1.4, 1.25 * have)
                    _logarithmic(ax, ax.xaxis, [min(values), have])
                else:
                    ax.set_xlim(0, 1.06 * max(have, *values, 0))
                    ax.xaxis.set_major_locator(MaxNLocator(4))
                ax.xaxis.set_major_formatter(_short)
            else:
                ax.margins(x=0.12)
                _logarithmic(ax, ax.xaxis, [*(of_point(row) for row in rows), *(x for x, *_ in shown)])
            ax.set_xlabel(label)
            ax.grid()
        axes[0].margins(y=0.1)
        _logarithmic(axes[0], axes[0].yaxis, [*speeds, *(rival.images_per_second for rival in others)])
        axes[0].set_ylabel('images per second')
        handles = [Line2D([], [], color=BLUE, marker='o', ms=6, label='ours')]
        if not inside.all():
            handles.append(Line2D([], [], color=BLUE, marker='o', ms=6, mfc='white', lw=0,
                                  label=f'ours, beyond {100 * share:.0f} % of it'))  # fmt: skip
        handles += [Line2D([], [], color=RED, lw=1.1, ls=(0, (4, 2)), label=f'{100 * share:.0f} % of the {device.board}'),
                    Line2D([], [], color=RED, lw=1.1, label='all of it')]  # fmt: skip
        if others:
            handles.append(Line2D([], [], color=ORANGE, marker='D', ms=6, mew=1.5, lw=0, label='published'))
            if any(rival.family != family for rival in others):
                handles.append(Line2D([], [], color=ORANGE, marker='D', ms=6, mew=1.5, mfc='white', lw=0,
                                      label='published, other FPGA family'))  # fmt: skip
        legend(fig, handles, 6)
        headed(fig, _title(rows, speeds, inside, share, device))
        if others:
            _name(fig, axes[-1], others, family)
    return Path(path)


def front(costs, gains) -> list[int]:
    """The points that no other one beats: none costs as little or less and gains more, or as much for less.

    Args:
        costs, gains: Of each point; a cost of None leaves it out.

    Returns:
        Their indices, the cheapest first.
    """
    known = [i for i, cost in enumerate(costs) if cost is not None]
    best, found = -np.inf, []
    for i in sorted(known, key=lambda i: (costs[i], -gains[i])):
        if gains[i] > best:
            best = gains[i]
            found.append(i)
    return found


def _panel(ax, costs, speeds, inside):
    """Our points, and the line through those that are best."""
    known = np.array([cost is not None for cost in costs])
    x = np.array([np.nan if cost is None else cost for cost in costs], float)
    line = front(costs, speeds)
    ax.plot(x[line], speeds[line], color=BLUE, lw=1.5, drawstyle='steps-post', zorder=2)
    for filled in (True, False):
        shown = known & (inside == filled)
        ax.plot(x[shown], speeds[shown], 'o', color=BLUE, ms=6, mfc=BLUE if filled else 'white', mew=1.5, zorder=3)
    if not known.any():
        ax.text(0.5, 0.5, 'not known', transform=ax.transAxes, ha='center', color=GREY)


def _logarithmic(ax, axis, values):
    """A logarithmic axis, with numbers at powers of ten, and between them if there are few."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_yscale('log') if axis is ax.yaxis else ax.set_xscale('log')
    decades, limit = np.log10(max(values) / min(values)), 2 if axis is ax.yaxis else 1.5
    axis.set_major_locator(LogLocator(subs=(1,) if decades > limit else (1, 2, 5) if decades > 0.7 else range(1, 10)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(lambda value, _: f'{value:,.0f}' if value >= 1000 else f'{value:g}')


def _short(value: float, _=None) -> str:
    return f'{value / 1000:g} k' if value >= 1000 else f'{value:g}'


def _name(fig, ax, others, family):
    """The published systems in a panel of their own, with their names."""
    ax.set(xlim=(0, 1), xticks=[], xlabel='published')
    ax.spines['bottom'].set_visible(False)
    ax.grid(axis='y')
    fig.draw_without_rendering()
    point = fig.dpi / 72
    box = ax.get_window_extent()
    ys = [ax.transData.transform((0, rival.images_per_second))[1] for rival in others]
    places = spread(ys, 19 * point, box.y0, box.y1)
    for rival, y, place in zip(others, ys, places):
        same = rival.family == family
        ax.plot(0.05, rival.images_per_second, 'D', color=ORANGE, ms=6, mfc=ORANGE if same else 'white', mew=1.5, zorder=4)
        ax.annotate(
            '',
            (0.05, rival.images_per_second),
            (22, (place - y) / point),
            textcoords='offset points',
            arrowprops={'arrowstyle': '-', 'color': GREY, 'lw': 0.7, 'shrinkA': 0, 'shrinkB': 4},
        )
        about = f'{rival.name}\n{rival.board}, {100 * rival.accuracy:.1f} %'
        ax.annotate(about, (0.05, rival.images_per_second), (24, (place - y) / point), textcoords='offset points',
                    fontsize=7, va='center', linespacing=1.1, in_layout=False, color='#222222')  # fmt: skip


def _title(rows, speeds, inside, share, device) -> str:
    """The fastest that fits."""
    if not inside.any():
        return f'None of {len(rows)} foldings fits {100 * share:.0f} % of the {device.board}'
    fastest = speeds[inside].max()
    return f'Up to {fastest:,.0f} images per second within {100 * share:.0f} % of the {device.board}'
