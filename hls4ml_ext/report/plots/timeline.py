"""Which engine is busy when, from counted cycles."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hls4ml_ext.report.plots.style import headed, legend, nonempty, picture

IMAGES = ('#0b4f8a', '#5aa5dd')
"""Of an engine at work, for images in turn."""

STALLED, STARVED = '#f0b45c', '#ececec'
DONE = {'color': '#222222', 'lw': 0.7, 'ls': (0, (2, 2))}
ROW = 0.2
"""Inches of an engine."""


def timeline(found: dict, path, clock_period: float | None = None) -> Path:
    """A row for each engine: how much of the time it is busy, stalled and starved, from the left to the right.

    An engine that is busy has one of two colours, which change with the image that it works on.

    Args:
        found: A :class:`hls4ml_ext.rtl.cycles.Timeline`, as a dictionary.
        path: The PNG to write.
        clock_period: In ns; with it the scale says what cycles are in time.

    Returns:
        The path.

    Raises:
        ProjectError: if there is no engine, or no part of a run.
    """
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    engines = [engine for engine in found['engines'] if engine['busy']]
    nonempty(engines, 'timeline')
    n_images, width = len(found['ends']), found['bin_cycles']
    edges = np.minimum(np.arange(len(engines[0]['busy']) + 1) * width, found['ends'][-1] + 1)
    rows, places = _rows(engines)
    with picture(path, 8.4, 1.3 + ROW * rows) as (fig, ax):
        for engine, y in zip(engines, places):
            _draw(ax, engine, y, edges, n_images)
        for end in found['ends']:
            ax.axvline(end + 1, **DONE, zorder=4)
        for number, end in enumerate(found['ends'], 1):
            if number in (1, n_images) or n_images <= 12:
                ax.annotate(str(number), (end + 1, 1), (0, 2), xycoords=('data', 'axes fraction'),
                            textcoords='offset points', ha='center', fontsize=8)  # fmt: skip
        _name(ax, engines, places)
        ax.set(xlim=(0, edges[-1]), ylim=(rows - 0.4, -0.6))
        ax.xaxis.set_major_formatter(lambda value, _: f'{value:,.0f}')
        ax.set_xlabel(f'clock cycles; 10,000 are {10 * clock_period:g} µs' if clock_period else 'clock cycles')
        ax.spines[:].set_visible(False)
        ax.tick_params(axis='y', length=0)
        handles = [
            Patch(color=IMAGES[0], label='busy (shades: one image, the next)'),
            Patch(color=STALLED, label='stalled: its beats wait'),
            Patch(color=STARVED, label='starved: no beats to take'),
            Line2D([], [], **DONE, label='an image is done'),
        ]
        legend(fig, handles)
        headed(fig, _title(found['ends']))
    return Path(path)


def _rows(engines) -> tuple[float, list[float]]:
    """How many rows there are, and the row of each engine; there is a gap in front of a block and behind it."""
    y, places, before = 0.0, [], None
    owners = {engine['blocks'][0] for engine in engines if engine['blocks']}
    for engine in engines:
        group = engine['blocks'][0] if engine['blocks'] else engine['name'] if engine['name'] in owners else None
        if places and group != before:
            y += 0.45
        places.append(y)
        y, before = y + 1, group
    return y, places


def _draw(ax, engine, y, edges, n_images):
    """Bars of one row; the busy part is at the bottom of each."""
    spans = np.maximum(np.diff(edges), 1)
    busy, stalled = (np.array(engine[key]) / spans for key in ('busy', 'stalled'))
    beats = np.array(engine['beats'])
    before = np.concatenate([[0], np.cumsum(beats)[:-1]])
    image = np.minimum(before * n_images // max(int(beats.sum()), 1), n_images - 1)
    base = y + 0.42
    ax.fill_between([edges[0], edges[-1]], base - 0.84, base, color=STARVED, lw=0, zorder=1)
    top = base - 0.84 * busy
    for parity, colour in enumerate(IMAGES):
        shown = np.where((image % 2 == parity) & (busy > 0), top, base)
        ax.stairs(shown, edges, baseline=base, fill=True, color=colour, lw=0, zorder=2)
    ax.stairs(top - 0.84 * stalled, edges, baseline=top, fill=True, color=STALLED, lw=0, zorder=2)


def _name(ax, engines, places):
    """Names at the left, those inside of a block under its name; the share of busy cycles at the right."""
    names = []
    for engine in engines:
        block = engine['blocks'][-1] if engine['blocks'] else ''
        names.append('   ' * len(engine['blocks']) + engine['name'].removeprefix(f'{block}.'))
    ax.set_yticks(places, names, fontsize=8)
    for label in ax.get_yticklabels():
        label.set_horizontalalignment('left')
    fig = ax.figure
    fig.draw_without_rendering()
    renderer = fig.canvas.get_renderer()
    widest = max(label.get_window_extent(renderer).width for label in ax.get_yticklabels())
    ax.tick_params(axis='y', pad=widest * 72 / fig.dpi + 4)
    right = ax.secondary_yaxis('right')
    totals = [sum(engine['busy']) / max(sum(map(sum, (engine[k] for k in ('busy', 'starved', 'stalled')))), 1)
              for engine in engines]  # fmt: skip
    right.set_yticks(places, [f'{100 * share:.0f} %' for share in totals], fontsize=8)
    right.tick_params(axis='y', length=0)
    right.spines[:].set_visible(False)


def _title(ends) -> str:
    """How long the images took, and the time from one to the next in the second half of the run."""
    n, half = len(ends), len(ends) // 2
    text = f'{n} image{"s" if n > 1 else ""} in {ends[-1] + 1:,} cycles'
    return f'{text}, in steady state one every {(ends[-1] - ends[half - 1]) / (n - half):,.0f}' if half else text
