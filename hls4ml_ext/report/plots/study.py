"""Results of a study."""

from __future__ import annotations

from pathlib import Path

from hls4ml_ext.report.plots.style import BLUE, GREEN, GREY, ORANGE, PALETTE, PURPLE, figure, save, titled


def accuracy_against_parameters(rows: list[dict], path) -> Path:
    """Top-1 accuracy of models against the number of their parameters.

    Args:
        rows: For each point ``name``, ``parameters``, ``accuracy`` (a fraction) and ``kind``: 'float' or 'qat'.
        path: The PNG to write.
    """
    fig, ax = figure()
    names = list(dict.fromkeys(row['name'] for row in rows))
    for i, name in enumerate(names):
        colour = PALETTE[i % len(PALETTE)]
        points = [row for row in rows if row['name'] == name]
        for row in points:
            hollow = {'mfc': 'white'} if row['kind'] == 'float' else {}
            ax.plot(row['parameters'] / 1e3, 100 * row['accuracy'], 'o', color=colour, ms=9, mew=2, **hollow)
        top = max(points, key=lambda row: row['accuracy'])
        ax.annotate(
            name, (top['parameters'] / 1e3, 100 * top['accuracy']), (0, 9), textcoords='offset points', ha='center',
            fontsize=9, color=colour,
        )  # fmt: skip
    ax.set_xscale('log')
    sizes = sorted({round(row['parameters'] / 1e3) for row in rows})
    ax.set_xticks(sizes, [f'{size:,}' for size in sizes])
    ax.minorticks_off()
    ax.margins(x=0.25, y=0.3)
    ax.plot([], [], 'o', color=GREY, mfc='white', mew=2, label='floating point')
    if any(row['kind'] == 'qat' for row in rows):
        ax.plot([], [], 'o', color=GREY, mew=2, label='quantization-aware')
    ax.legend(frameon=False, fontsize=8, loc='lower right')
    titled(ax, 'Accuracy against parameters', 'parameters [thousands]', 'top-1 accuracy [%]')
    return save(fig, path)


def accuracy_against_steps(series: dict[str, dict[int, float]], path, trained_at: int) -> Path:
    """Top-1 accuracy of models evaluated with other numbers of solver steps.

    Args:
        series: Label -> number of steps -> accuracy (a fraction).
        path: The PNG to write.
        trained_at: The number of steps in training.
    """
    fig, ax = figure()
    for i, (label, values) in enumerate(series.items()):
        numbers = sorted(values)
        ax.plot(numbers, [100 * values[n] for n in numbers], 'o-', color=PALETTE[i % len(PALETTE)], lw=2, ms=5, label=label)
    ax.axvline(trained_at, color=GREY, lw=0.8, ls=':')
    ax.text(trained_at, 0.02, ' trained', transform=ax.get_xaxis_transform(), fontsize=8, color=GREY)
    ax.set_xticks(sorted({n for values in series.values() for n in values}))
    ax.legend(frameon=False, fontsize=8)
    titled(ax, 'Accuracy against the number of steps', 'solver steps N of every ODE block', 'top-1 accuracy [%]')
    return save(fig, path)


def qat_against_ptq(rows: list[dict], path) -> Path:
    """Quantization-aware training against quantization after training, by bit widths.

    Args:
        rows: For each pair of bit widths ``bits`` (such as 'W4A8'), and accuracies as fractions: ``float``, ``qat`` (or
            None), and ``ptq``: method -> accuracy.
        path: The PNG to write.
    """
    fig, ax = figure()
    methods = {'minmax': 'PTQ, min-max', 'percentile': 'PTQ, percentile', 'mse': 'PTQ, least squared error'}
    bars = [*((label, lambda row, m=m: row['ptq'].get(m)) for m, label in methods.items()), ('QAT', lambda row: row['qat'])]
    width = 0.8 / len(bars)
    for i, ((label, accuracy), colour) in enumerate(zip(bars, (PURPLE, ORANGE, GREEN, BLUE))):
        places = [(j + (i - (len(bars) - 1) / 2) * width, accuracy(row)) for j, row in enumerate(rows)]
        places = [(x, 100 * value) for x, value in places if value is not None]
        if not places:
            continue
        ax.bar(*zip(*places), width * 0.92, color=colour, label=label)
        for x, value in places:
            ax.text(
                x,
                max(value - 2, 0.5),
                f'{value:.1f}',
                ha='center',
                va='top' if value > 6 else 'bottom',
                fontsize=8,
                color='white' if value > 6 else 'black',
            )
    for j, row in enumerate(rows):
        ax.plot([j - 0.45, j + 0.45], [100 * row['float']] * 2, color='black', lw=1.2, ls='--', label=None if j else 'float')
    ax.set_xticks(range(len(rows)), [row['bits'] for row in rows], fontsize=10)
    ax.set_ylim(0, 118)
    ax.set_yticks(range(0, 101, 20))
    ax.legend(frameon=False, fontsize=8, ncols=5, loc='upper left', columnspacing=1.2, handlelength=1.2)
    titled(ax, 'Quantization-aware against post-training', 'bits of weights (W) and activations (A)', 'top-1 accuracy [%]')
    return save(fig, path)
