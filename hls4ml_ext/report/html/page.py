"""The page: a template filled with the sections, and written."""

from __future__ import annotations

import base64
from pathlib import Path

import jinja2

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.files import replacing
from hls4ml_ext.report.tables import bits, short

REPORT = 'report.html'
HERE = Path(__file__).parent
GENERATOR = '<meta name="generator" content="hls4ml-ext report">'
"""By which a file is known to be ours."""


def write_report(content: dict, path: Path) -> Path:
    """Writes the report.

    Args:
        content: From :func:`hls4ml_ext.report.html.content.content_of`.
        path: The file. A report that is there is replaced, another file is not.

    Returns:
        The path.

    Raises:
        ProjectError: if there is a file that is no report of ours, or it can't be written.
    """
    check_ours(path)
    with replacing(path, 'report') as unfinished:
        unfinished.write_text(render(content), encoding='utf-8')
    return path


def check_ours(path: Path):
    """Raises ProjectError if there is a file that is no report of ours."""
    try:
        ours = not path.exists() or GENERATOR in path.read_text(encoding='utf-8', errors='replace')[:4000]
    except OSError as e:
        raise ProjectError(f"'{path}' can't be read: {e.strerror or e}. Move it away") from None
    if not ours:
        raise ProjectError(f"'{path}' was not written by hls4ml-ext report, and is left as it is. Move it away")


def render(content: dict) -> str:
    """The HTML of a report."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        short=short, bits=bits, number=number, percent=percent, signed=signed, embedded=embedded, time=time
    )
    style = (HERE / 'style.css').read_text(encoding='utf-8')
    return environment.get_template('report.html.jinja').render(**content, style=style, generator=GENERATOR)


# ---------------------------------------------------------------------------------------------------------------------
# Filters
# ---------------------------------------------------------------------------------------------------------------------


def number(n: float | None, digits: int = 0) -> str:
    """1234.5 -> '1,234'; a dash for what is not known."""
    return '–' if n is None else f'{n:,.{digits}f}'


def percent(share: float | None, digits: int = 1) -> str:
    """0.345 -> '34.5 %'; a dash for what is not known."""
    return '–' if share is None else f'{100 * share:.{digits}f} %'


def signed(share: float | None, digits: int = 1) -> str:
    """0.02 -> '+2.0 %': a difference."""
    return '–' if share is None else f'{100 * share:+.{digits}f} %'.replace('-', '−')


def time(seconds: float | None) -> str:
    """A time in the unit that fits: 0.000213 -> '213 µs'."""
    if seconds is None:
        return '–'
    for limit, unit in ((1, 's'), (1e-3, 'ms'), (1e-6, 'µs')):
        if seconds >= limit or unit == 'µs':
            return f'{seconds / limit:.3g} {unit}'


def embedded(path: Path) -> str:
    """A PNG as an address that holds it."""
    return 'data:image/png;base64,' + base64.b64encode(Path(path).read_bytes()).decode()
