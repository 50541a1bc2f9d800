"""What each layer takes of a device."""

from __future__ import annotations

from pathlib import Path

from hls4ml_ext.report.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, headed, legend, nonempty, picture

RESOURCES = {'LUT': BLUE, 'FF': '#7a8a99', 'BRAM_18K': GREEN, 'DSP': ORANGE, 'URAM': PURPLE}
"""What is shown, where the device has it, and the network takes it; and its colour."""

ROW = 0.21
"""Inches of a layer."""


def utilisation(layers: list[dict], available: dict, path, board: str, measured: dict | None = None,
                what: str = 'estimated', share: float | None = None) -> Path:  # fmt: skip
    """A panel for each resource: the layers one behind the other, as shares of the device, up to the total.

    Args:
        layers: For each layer ``name`` and counts of LUT, FF, BRAM_18K, DSP and URAM; some may be missing. They add up to
            the network: what is inside of another layer is either a row of its own or counted by that, not both.
        available: What the device has of each.
        path: The PNG to write.
        board: Name of the device.
        measured: Totals to compare with, which are drawn as a line: of a synthesis, say.
        what: In a word, what the counts are.
        share: Part of the device that may be used; None if nobody has said.

    Returns:
        The path.

    Raises:
        ProjectError: if there is no layer, or the device has none of what they take.
    """
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    nonempty(layers, 'utilisation')
    shown = [r for r in RESOURCES if available.get(r) and any(layer.get(r) for layer in layers)]
    nonempty(shown, f'utilisation of the {board}')
    totals = {r: sum(layer.get(r) or 0 for layer in layers) for r in shown}
    n = len(layers)
    with picture(path, 8.4, 1.45 + ROW * (n + 1), ncols=len(shown), sharey=True, squeeze=False) as (fig, axes):
        marks = set()
        for ax, resource in zip(axes[0], shown):
            have, colour, left = available[resource], RESOURCES[resource], 0.0
            for y, layer in enumerate(layers):
                part = (layer.get(resource) or 0) / have
                ax.barh(y, part, 0.7, left, color=colour, lw=0)
                left += part
                ax.plot([left, left], [y - 0.35, y + 1.35], color=colour, lw=0.7, alpha=0.6)
            ax.barh(n, left, 0.7, color=colour)
            other = measured and measured.get(resource)
            if other is not None:
                ax.plot([other / have] * 2, [n - 0.6, n + 0.6], color='black', lw=2, zorder=5)
                marks.add('measured')
            reach = 1.12 * max(left, (other or 0) / have, 0.002)
            for limit, style in ((share, (0, (4, 2))), (1.0, '-')):
                if limit and (limit <= 1.6 * reach or left > limit):
                    ax.axvline(limit, color=RED, lw=1.2, ls=style)
                    reach = max(reach, 1.06 * limit)
                    marks.add(limit)
            ax.set(xlim=(0, reach), ylim=(n + 0.8, -0.7))
            ax.xaxis.set_major_locator(MaxNLocator(3))
            ax.xaxis.set_major_formatter(lambda value, _: f'{100 * value:g} %')
            ax.set_title(f'{resource}  {totals[resource]:,.0f}', fontsize=9, pad=14)
            ax.annotate(f'{100 * left:.1f} % of {have:,.0f}', (0, 1), (0, 4), xycoords='axes fraction',
                        textcoords='offset points', color=GREY, fontsize=8)  # fmt: skip
            ax.grid(axis='x')
            ax.tick_params(axis='y', length=0)
            ax.spines[:].set_visible(False)
        axes[0][0].set_yticks(range(n + 1), [*(layer['name'] or 'between them' for layer in layers), 'total'], fontsize=8)
        axes[0][0].get_yticklabels()[-1].set_fontweight('bold')
        handles = []
        if 'measured' in marks:
            handles.append(Line2D([], [], color='black', lw=2, label='after synthesis'))
        if share in marks:
            handles.append(Line2D([], [], color=RED, lw=1.2, ls=(0, (4, 2)), label=f'{100 * share:.0f} % of the device'))
        if 1.0 in marks:
            handles.append(Line2D([], [], color=RED, lw=1.2, label='all of the device'))
        if handles:
            legend(fig, handles)
        headed(fig, f'What the layers take of the {board}, {what}')
    return Path(path)
