"""Results of a study."""

from __future__ import annotations

import math
from pathlib import Path
from statistics import mean

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.report.plots.labels import label_ends, label_points
from hls4ml_ext.report.plots.style import BLUE, GREY, PALETTE, legend, nonempty, percentages, picture, seeds_note, titled

KINDS = {'float': 'floating point', 'qat': 'quantization-aware training'}
BESIDE = {'float': -9, 'qat': 9}
"""Where the single seeds of a point are, to the right of it, in points."""

METHODS = {
    'minmax': ('PTQ, min-max', '#d0d0d0', 'black'),
    'percentile': ('PTQ, percentile', '#a3a3a3', 'black'),
    'mse': ('PTQ, least squared error', '#707070', 'white'),
}
"""Calibrations after training: name, and colours of the bar and of the number in it."""


def accuracy_against_parameters(rows: list[dict], path) -> Path:
    """Top-1 accuracy of models against the number of their parameters.

    Args:
        rows: For each point ``name``, ``parameters``, ``accuracy`` (a fraction, or a list of one for each seed) and
            ``kind``: 'float' or 'qat'.
        path: The PNG to write.

    Returns:
        The path.

    Raises:
        ProjectError: if there is no point, or a number is impossible.
    """
    from matplotlib.transforms import offset_copy

    nonempty(rows, 'accuracy against parameters')
    models = {}
    for row in rows:
        if row['kind'] not in KINDS or row['parameters'] < 1:
            raise ProjectError(f"model '{row['name']}': no picture of {row['parameters']} parameters, kind '{row['kind']}'")
        point = (row['parameters'], percentages(row['accuracy'], f"model '{row['name']}'"), row['kind'])
        models.setdefault(row['name'], []).append(point)
    points = [point for found in models.values() for point in found]
    sizes, means = [size for size, *_ in points], [mean(values) for _, values, _ in points]
    with picture(path) as (fig, ax):
        labels, obstacles = [], []
        for i, (name, found) in enumerate(models.items()):
            colour, top = PALETTE[i % len(PALETTE)], max(found, key=lambda point: mean(point[1]))
            for size in dict.fromkeys(size for size, *_ in found):
                of_size = [values for n, values, _ in found if n == size]
                ax.plot([size] * len(of_size), [mean(values) for values in of_size], color=colour, lw=1.2, zorder=1)
                obstacles.append((size, min(map(min, of_size)), max(map(max, of_size))))
            for size, values, kind in found:
                face = 'white' if kind == 'float' else colour
                ax.plot(size, mean(values), 'o', color=colour, ms=9, mew=2, mfc=face)
                if len(values) > 1:
                    beside = offset_copy(ax.transData, fig, BESIDE[kind], 0, 'points')
                    ax.plot([size] * len(values), values, 'o', color=colour, ms=4, mfc=face, transform=beside)
            labels.append((top[0], mean(top[1]), name, colour))
        ax.set_xscale('log')
        _limits(ax, sizes, [value for _, values, _ in points for value in values])
        ax.grid()
        ax.set_xlabel('parameters')
        ax.set_ylabel('top-1 accuracy [%]')
        shown = {kind for *_, kind in points}
        handles = [
            ax.plot([], [], 'o', color=GREY, mew=2, ms=8, mfc='white' if kind == 'float' else GREY, label=label)[0]
            for kind, label in KINDS.items() if kind in shown
        ]  # fmt: skip
        several = any(len(values) > 1 for _, values, _ in points)
        if several:
            handles += ax.plot([], [], 'o', color=GREY, ms=4, label='one seed')
        legend(fig, handles)
        what = f'top-1 accuracy and size of {len(models)} network{"s" if len(models) > 1 else ""}'
        titled(ax, _summary(sizes, means), what + seeds_note(len(values) for _, values, _ in points))
        label_points(fig, ax, labels, obstacles, max(map(abs, BESIDE.values())) + 4 if several else 6)
    return Path(path)


def _summary(sizes, values) -> str:
    """The title: between which numbers the models are."""
    size = dict.fromkeys(count(n) for n in (min(sizes), max(sizes)))
    value = dict.fromkeys(f'{v:.1f}' for v in (min(values), max(values)))
    return f'{" to ".join(value)} % accuracy with {" to ".join(size)} parameters'


def _limits(ax, sizes, values):
    """Room around the points for their labels, and ticks at 1, 2, 5, 10, ..."""
    low, high = min(sizes), max(sizes)
    room = max((high / low) ** 0.25, 1.5)
    low, high = low / room, high * room
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    # Over many decades, the powers of ten are enough.
    digits = (1, 2, 3, 5, 7) if high / low < 8 else (1, 2, 5) if high / low < 1e4 else (1,)
    ticks = [digit * 10**decade for decade in decades for digit in digits]
    ticks = [tick for tick in ticks if low <= tick <= high]
    ax.set_xticks(ticks, [count(tick) for tick in ticks])
    ax.minorticks_off()
    ax.set_xlim(low, high)
    margin = max(0.18 * (max(values) - min(values)), 0.5)
    ax.set_ylim(max(min(values) - margin, -2), min(max(values) + margin, 102))


def count(n: float) -> str:
    """200000 -> '200 k'."""
    for limit, unit in ((1e6, ' M'), (1e3, ' k')):
        if n >= limit:
            return f'{n / limit:.3g}{unit}'
    return f'{n:g}'


def accuracy_against_steps(series: dict[str, dict[int, float]], path, trained_at: int) -> Path:
    """Top-1 accuracy of models evaluated with other numbers of solver steps.

    Args:
        series: Label -> number of steps -> accuracy (a fraction, or a list of one for each seed).
        path: The PNG to write.
        trained_at: The number of steps in training.

    Returns:
        The path.

    Raises:
        ProjectError: if there is no accuracy, or one is no fraction.
    """
    nonempty([n for values in series.values() for n in values], 'accuracy against steps')
    curves = {
        label: {n: percentages(values[n], label) for n in sorted(values)} for label, values in series.items() if values
    }
    numbers = sorted({n for values in curves.values() for n in values} | {trained_at})
    with picture(path) as (fig, ax):
        ax.axvline(trained_at, color=GREY, lw=1, ls=(0, (3, 3)), zorder=1)
        ends = []
        for i, (label, values) in enumerate(curves.items()):
            colour = PALETTE[i % len(PALETTE)]
            means = [mean(of_seeds) for of_seeds in values.values()]
            ax.plot(list(values), means, 'o-', color=colour, lw=2, ms=5)
            low, high = ([edge(of_seeds) for of_seeds in values.values()] for edge in (min, max))
            ax.fill_between(list(values), low, high, color=colour, alpha=0.2, lw=0)
            ends.append((max(values), means[-1], label, colour))
        span = max(numbers[-1] - numbers[0], 1)
        ax.set_xlim(numbers[0] - 0.05 * span, numbers[-1] + 0.05 * span)
        ax.set_xticks(numbers)
        ax.margins(y=0.1)
        ax.grid(axis='y')
        ax.set_xlabel('solver steps N of every ODE block (same weights)')
        ax.set_ylabel('top-1 accuracy [%]')
        ax.annotate(
            f'trained with N = {trained_at}', (trained_at, 0), (4, 5), xycoords=('data', 'axes fraction'),
            textcoords='offset points', color=GREY,
        )  # fmt: skip
        best = all(max(values, key=lambda n: mean(values[n])) == trained_at for values in curves.values())
        title = f'Most accurate with the steps of training, N = {trained_at}' if best else 'Accuracy by solver steps'
        counts = {len(of_seeds) for values in curves.values() for of_seeds in values.values()}
        titled(ax, title, 'top-1 accuracy with other N than in training' + seeds_note(counts, 'range'))
        label_ends(fig, ax, ends)
    return Path(path)


def qat_against_ptq(rows: list[dict], path) -> Path:
    """Quantization-aware training against quantization after training, by bit widths.

    Args:
        rows: For each pair of bit widths ``bits`` (such as 'W4A8'), and accuracies (fractions, or lists of one for each
            seed): ``float`` and ``qat`` (nothing: None or an empty list), and ``ptq``: method -> accuracy.
        path: The PNG to write.

    Returns:
        The path.

    Raises:
        ProjectError: if there is no row, or an accuracy is no fraction.
    """
    nonempty(rows, 'QAT against PTQ')
    rows = [_means(row) for row in rows]
    kinds = [*((m, *look) for m, look in METHODS.items() if any(m in row['ptq'] for row in rows))]
    if any(row['qat'] is not None for row in rows):
        kinds.append(('qat', 'QAT', BLUE, 'white'))
    nonempty(kinds, 'QAT against PTQ')
    width = min(0.84 / len(kinds), 0.2)
    half = width * len(kinds) / 2
    handles = []
    with picture(path, max(7, 0.8 + 0.42 * len(kinds) * len(rows))) as (fig, ax):
        for i, (key, label, colour, ink) in enumerate(kinds):
            shown = [(j, row['qat'] if key == 'qat' else row['ptq'].get(key)) for j, row in enumerate(rows)]
            bars = [(j - half + (i + 0.5) * width, value) for j, value in shown if value is not None]
            handles.append(ax.bar(*zip(*bars), 0.94 * width, color=colour, label=label))
            for x, value in bars:
                inside = value > 8  # the number has no room in a lower bar
                ax.annotate(
                    f'{value:.1f}', (x, value), (0, -3 if inside else 2), textcoords='offset points', ha='center',
                    va='top' if inside else 'bottom', color=ink if inside else 'black', fontsize=8,
                )  # fmt: skip
        for j, row in enumerate(rows):
            if (value := row['float']) is not None:
                ax.plot([j - half - 0.04, j + half + 0.04], [value] * 2, color='black', lw=1.2, ls=(0, (4, 2)))
                ax.annotate(f'float {value:.1f}', (j - half - 0.04, value), (0, 3), textcoords='offset points', fontsize=8)
        ax.set_xticks(range(len(rows)), [row['bits'] for row in rows], fontsize=10)
        ax.tick_params(axis='x', length=0)
        ax.set_xlim(-0.6, len(rows) - 0.4)
        ax.set_ylim(0, 105)
        ax.set_yticks(range(0, 101, 20))
        ax.grid(axis='y')
        ax.set_xlabel('bits of weights (W) and activations (A)')
        ax.set_ylabel('top-1 accuracy [%]')
        what = 'top-1 accuracy of a network quantized after training (PTQ) or in training (QAT)'
        titled(ax, _gain(rows), what + seeds_note(row['seeds'] for row in rows))
        legend(fig, handles)
    return Path(path)


def _means(row) -> dict:
    """A row in per cent, each accuracy its mean over the seeds, and how many ``seeds`` there were at most."""
    given = {'float': row['float'], 'qat': row['qat'], **row['ptq']}
    values = {
        key: percentages(accuracy, f'{row["bits"]}, {key}')
        for key, accuracy in given.items()
        if accuracy is not None and accuracy != []
    }
    means = {key: mean(of_seeds) for key, of_seeds in values.items()}
    return {
        'bits': row['bits'],
        'float': means.pop('float', None),
        'qat': means.pop('qat', None),
        'ptq': means,
        'seeds': max(map(len, values.values()), default=1),
    }


def _gain(rows) -> str:
    """The title: where training with quantization helps most."""
    gains = {row['bits']: row['qat'] - max(row['ptq'].values()) for row in rows if row['qat'] is not None and row['ptq']}
    bits = max(gains, key=gains.get, default=None)
    if bits is None or gains[bits] < 0.05:
        return 'Quantization during and after training'
    return f'QAT gains {gains[bits]:.1f} points over the best PTQ at {bits}'
