"""What all pictures have in common."""

from __future__ import annotations

from pathlib import Path

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = '#0072b2', '#e69f00', '#009e73', '#d55e00', '#cc79a7', '#7f7f7f'
"""Colours that colour-blind people tell apart (Okabe and Ito, "Color Universal Design")."""

PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, GREY)


def figure(width: float = 7, height: float = 4, **subplots):
    """A figure of so many inches and its axes, as ``matplotlib.figure.Figure.subplots`` gives them."""
    from matplotlib.figure import Figure

    fig = Figure((width, height), dpi=150, layout='constrained')
    axes = fig.subplots(**subplots)
    for ax in axes.ravel() if hasattr(axes, 'ravel') else [axes]:
        ax.spines[['top', 'right']].set_visible(False)
        ax.tick_params(labelsize=9)
    return fig, axes


def titled(ax, title: str, x: str = '', y: str = '', size: int = 11):
    """Title and axis labels."""
    ax.set_title(title, loc='left', fontsize=size, fontweight='bold')
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)


def save(fig, path) -> Path:
    """Writes a PNG at once; the same picture gives the same bytes."""
    path = Path(path)
    unfinished = path.with_name(path.name + '.unfinished')
    fig.savefig(unfinished, format='png', metadata={'Software': None})
    unfinished.replace(path)
    return path
