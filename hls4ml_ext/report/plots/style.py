"""What all pictures have in common: colours, fonts, titles, and how a file is written."""

from __future__ import annotations

import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.files import replacing

BLUE, ORANGE, GREEN, RED, PURPLE, GREY = '#0072b2', '#e69f00', '#009e73', '#d55e00', '#cc79a7', '#6e6e6e'
"""Colours that colour-blind people tell apart (Okabe and Ito, "Color Universal Design")."""

PALETTE = (BLUE, RED, GREEN, PURPLE, '#222222', '#8a6d00')
BAND, GRID = '#f2f2f2', '#e3e3e3'

STYLE = {
    'figure.dpi': 150,
    'font.size': 9,
    'axes.titlesize': 11,
    'axes.titleweight': 'bold',
    'axes.titlelocation': 'left',
    'axes.spines.top': False,
    'axes.spines.right': False,
    'axes.edgecolor': '#444444',
    'axes.axisbelow': True,
    'grid.color': GRID,
    'grid.linewidth': 0.8,
    'xtick.color': '#444444',
    'ytick.color': '#444444',
    'legend.frameon': False,
    'legend.fontsize': 9,
}
"""On top of matplotlib's own defaults: what its user has set for other pictures is of no account here."""


@contextmanager
def picture(path, width: float = 7, height: float = 4, **subplots):
    """A figure of so many inches and its axes; they become a PNG at once when the block ends without an error.

    Args:
        path: The PNG. The same picture gives the same bytes.
        width, height: In inches.
        subplots: See ``matplotlib.figure.Figure.subplots``.

    Raises:
        ProjectError: if the file can't be written.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        fig = Figure((width, height), layout='constrained')
        FigureCanvasAgg(fig)
        fig.get_layout_engine().set(w_pad=0.06, h_pad=0.06)
        yield fig, fig.subplots(**subplots)
        with replacing(Path(path), 'picture') as unfinished:
            # The version of matplotlib would be in the file; the date is not.
            fig.savefig(unfinished, format='png', metadata={'Software': None})


def titled(ax, title: str, subtitle: str = ''):
    """A bold title, and in grey below it what is shown."""
    ax.set_title(title, pad=20 if subtitle else 6)
    ax.annotate(subtitle, (0, 1), (0, 7), xycoords='axes fraction', textcoords='offset points', color=GREY, fontsize=9)


def headed(fig, title: str, note: str = ''):
    """The title of a picture of many axes, and a note below them."""
    fig.suptitle(title, x=0.01, ha='left', fontsize=11, fontweight='bold')
    if note:
        fig.supxlabel(note, x=0.01, ha='left', fontsize=8, color=GREY)


def legend(fig, handles, columns: int = 5):
    """One line below the axes, where it covers nothing. Handles are lines or bars with labels."""
    fig.legend(handles=handles, loc='outside lower center', ncols=columns, columnspacing=1.6, handlelength=1.4)


def percentages(accuracy, what: str) -> list[float]:
    """An accuracy, or one for each seed, in per cent.

    Args:
        accuracy: A fraction or a list of them.
        what: Named in the error.

    Raises:
        ProjectError: if one is no number between 0 and 1, or there is none.
    """
    fractions = accuracy if isinstance(accuracy, (list, tuple)) else [accuracy]
    for value in nonempty(fractions, what):
        if not isinstance(value, (int, float)) or not math.isfinite(value) or not 0 <= value <= 1:
            raise ProjectError(f'{what}: accuracy {value!r} is no fraction between 0 and 1')
    return [100 * float(value) for value in fractions]


def seeds_note(counts, band: str = '') -> str:
    """What a subtitle says of the numbers of seeds behind its means: nothing, if there was one for each.

    Args:
        counts: The numbers.
        band: What the band around the means is, if there is one.
    """
    counts = set(counts)
    if counts == {1}:
        return ''
    ends = ' to '.join(map(str, sorted({min(counts), max(counts)})))
    return f'; means of {ends} seeds' + (f' (band: {band})' if band else '')


def nonempty(values, what: str):
    """`values`. Raises ProjectError if there are none."""
    if not len(values):
        raise ProjectError(f'{what}: there is nothing to draw')
    return values


def checked_images(model, images) -> np.ndarray:
    """The images as an array, (n, height, width, channels).

    Raises:
        ProjectError: if there are none, or the model takes others.
    """
    images, shape = np.asarray(images), tuple(model.input_shape[1:])
    fits = images.ndim == len(shape) + 1 and all(want in (None, n) for want, n in zip(shape, images.shape[1:]))
    if not fits or len(images) == 0:
        raise ProjectError(f"model '{model.name}' takes images of {shape}, not an array of {images.shape}")
    return images
