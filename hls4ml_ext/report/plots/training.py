"""How a training went."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.report.plots.labels import spread
from hls4ml_ext.report.plots.style import BAND, BLUE, GREY, ORANGE, headed, legend, nonempty, picture


def training_curves(logs: list[dict], path) -> Path:
    """Loss and accuracy over the epochs of all phases, one phase after another.

    Args:
        logs: ``PhaseLog.as_dict()`` of each phase, see :class:`hls4ml_ext.train.training.PhaseLog`. Validation may be
            missing from some or all.
        path: The PNG to write.

    Returns:
        The path.

    Raises:
        ProjectError: if no epoch was logged, or a history is not one of loss and accuracy.
    """
    logs = nonempty([log for log in logs if _epochs(log)], 'training curves')
    with picture(path, 7, 5, nrows=2, sharex=True) as (fig, axes):
        handles = {}
        for ax, key, scale in zip(axes, ('loss', 'accuracy'), (1, 100)):
            start = 0
            for number, log in enumerate(logs):
                n = _epochs(log)
                if number % 2:
                    ax.axvspan(start + 0.5, start + n + 0.5, color=BAND, lw=0, zorder=0)
                _phase(ax, log, key, scale, start, handles)
                start += n
            ax.grid(axis='y')
            ax.set_xlim(0.5, start + 0.5)
        axes[0].set_ylim(*_loss_limits(logs))
        axes[0].set_ylabel('loss')
        axes[1].set_ylabel('accuracy [%]')
        axes[1].set_xlabel('epoch')
        axes[1].xaxis.get_major_locator().set_params(integer=True)
        # One phase without validation is no reason to leave it out of the legend.
        legend(fig, [handles[name] for name in ('training', 'validation', 'kept weights') if name in handles])
        headed(fig, finding(logs))
        _name_phases(fig, axes[0], logs)
    return Path(path)


def finding(logs: list[dict]) -> str:
    """The title: the accuracy of the weights that were kept last, and what they took."""
    last, epochs = logs[-1], sum(_epochs(log) for log in logs)
    key, what = ('val_accuracy', 'on held-out images') if _held_out(last, 'accuracy') else ('accuracy', 'in training')
    accuracy = last['history'][key][_best(last) - 1]
    minutes = sum(log.get('seconds', 0) for log in logs) / 60
    took = f', {minutes:,.0f} min' if minutes >= 1 else ''
    return f'Training: {100 * accuracy:.1f} % {what} after {epochs} epoch{"s" if epochs > 1 else ""}{took}'


def _phase(ax, log, key, scale, start, handles):
    """The curves of one phase."""
    history, n = log['history'], _epochs(log)
    epochs = np.arange(start + 1, start + n + 1)
    dot = '.' if n == 1 else None  # a line of one point is invisible
    values = scale * np.array(history[key])
    (handles['training'],) = ax.plot(epochs, values, color=GREY, lw=1, marker=dot, label='training')
    held_out = _held_out(log, key)
    if held_out:
        values = scale * np.array(held_out)
        (handles['validation'],) = ax.plot(epochs, values, color=BLUE, lw=2.2, marker=dot, label='validation')
    best = _best(log)
    (handles['kept weights'],) = ax.plot(
        start + best, values[best - 1], 'o', color=ORANGE, mec='white', ms=7, zorder=3, label='kept weights', ls=''
    )


def _name_phases(fig, ax, logs):
    """The phases' names above their bands; those of short phases are moved apart."""
    fig.draw_without_rendering()
    renderer = fig.canvas.get_renderer()
    ends = np.cumsum([0, *(_epochs(log) for log in logs)]) + 0.5
    centres = (ends[1:] + ends[:-1]) / 2
    texts = [
        ax.annotate(
            log['name'], (x, 1), (0, 3), xycoords=('data', 'axes fraction'), textcoords='offset points', ha='center',
            color=GREY, fontsize=8,
        )
        for log, x in zip(logs, centres)
    ]  # fmt: skip
    widths = [text.get_window_extent(renderer).width + 5 * fig.dpi / 72 for text in texts]
    box = ax.get_window_extent(renderer)
    pixels = ax.transData.transform([(x, 0) for x in centres])[:, 0]
    for text, x, moved in zip(texts, pixels, spread(pixels, widths, box.x0, box.x1)):
        text.xyann = ((moved - x) * 72 / fig.dpi, 3)


def _loss_limits(logs) -> tuple[float, float]:
    """The ends of the axis of losses. Unsettled validation in the first epochs may leave it: it would flatten all else."""
    training = [v for log in logs for v in log['history']['loss']]
    every = [*training, *(v for log in logs for v in log['history'].get('val_loss', []))]
    low, high = min(every), min(max(every), 1.5 * max(training))
    margin = 0.06 * (high - low) or 0.1
    return low - margin, high + margin


def _epochs(log) -> int:
    """The number of epochs of a phase.

    Raises:
        ProjectError: if its history is not what it should be.
    """
    history = log['history']
    curves = [key for key in ('loss', 'accuracy', 'val_loss', 'val_accuracy') if key in history]
    lengths = {len(history[key]) for key in curves}
    if history and (not {'loss', 'accuracy'} <= set(curves) or len(lengths) > 1):
        raise ProjectError(f"training curves: the history of '{log['name']}' is not one of loss and accuracy for each epoch")
    return lengths.pop() if lengths else 0


def _held_out(log, key):
    return log['history'].get(f'val_{key}')


def _best(log) -> int:
    """The epoch whose weights were kept; the last one, if the log doesn't know."""
    n = _epochs(log)
    return min(log.get('best_epoch') or n, n)
