"""How a training went."""

from __future__ import annotations

from pathlib import Path

from hls4ml_ext.report.plots.style import BLUE, GREY, ORANGE, figure, save


def training_curves(logs: list[dict], path) -> Path:
    """Loss and accuracy over the epochs of all phases.

    Args:
        logs: ``PhaseLog.as_dict()`` of each phase, see :class:`hls4ml_ext.train.training.PhaseLog`.
        path: The PNG to write.

    Returns:
        The path.
    """
    fig, (left, right) = figure(9, 3.6, ncols=2)
    start = 0
    for log in logs:
        history, n = log['history'], len(log['history']['loss'])
        epochs = range(start + 1, start + n + 1)
        for ax, key, scale in ((left, 'loss', 1), (right, 'accuracy', 100)):
            first = start == 0
            ax.plot(epochs, [scale * v for v in history[key]], color=GREY, lw=1.2, label='training' if first else None)
            held_out = history.get(f'val_{key}')
            if held_out:
                ax.plot(epochs, [scale * v for v in held_out], color=BLUE, lw=2, label='validation' if first else None)
                best = log['best_epoch'] - 1
                ax.plot(start + best + 1, scale * held_out[best], 'o', color=ORANGE, ms=6, label='kept' if first else None)
            ax.axvline(start + n + 0.5, color=GREY, lw=0.8, ls=':')
            ax.text(start + 0.7, 1.0, log['name'], transform=ax.get_xaxis_transform(), fontsize=8, color=GREY, va='bottom')
        start += n
    for ax, title in ((left, 'loss'), (right, 'accuracy [%]')):
        ax.set_xlim(0.5, start + 0.5)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.set_xlabel('epoch', fontsize=9)
        ax.set_ylabel(title, fontsize=9)
        ax.legend(frameon=False, fontsize=8)
    fig.suptitle('Training', x=0.01, ha='left', fontsize=11, fontweight='bold')
    return save(fig, path)
