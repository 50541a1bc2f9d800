"""What a run shows on the terminal: a line for each phase, with a progress bar while it lasts."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

WIDTH = 100
"""Columns where there is no terminal to ask."""

LABEL = 12
"""Width of the name of a phase."""


class Step:
    """A phase that is under way.

    Attributes:
        detail: What is shown beside its name, and remains when it is done.
    """

    def __init__(self, progress: Progress, task):
        self._progress, self._task = progress, task
        self.detail = ''

    def advance(self, n: int = 1):
        self._progress.advance(self._task, n)

    def show(self, detail: str):
        """Changes what is shown beside the bar, and remains when the phase is done."""
        self.detail = detail
        self._progress.update(self._task, detail=escape(detail))


class Reporter:
    """Prints to the terminal.

    Args:
        console: Where to; the default is standard output. Its file is fixed, so that what hls4ml prints can be caught by
            replacing ``sys.stdout`` without losing the progress bars.
    """

    def __init__(self, console: Console | None = None):
        width = None if sys.stdout.isatty() or 'COLUMNS' in os.environ else WIDTH
        self.console = console or Console(file=sys.stdout, highlight=False, width=width)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str, total: int | None = None, detail: str = ''):
        """Shows a phase: a bar of `total` steps, or a moving one if that isn't known, then a line with its wall time.

        Yields:
            Step: to advance it.
        """
        start = time.perf_counter()
        progress = Progress(
            SpinnerColumn(style='cyan'),
            TextColumn(f'{name:{LABEL}s}', style='bold'),
            BarColumn(30),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn('{task.fields[detail]}', style='dim'),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        with progress:
            step = Step(progress, progress.add_task(name, total=total, detail=escape(detail)))
            step.detail = detail
            try:
                yield step
            except BaseException:
                self._line('[red]✗[/]', name, step.detail, time.perf_counter() - start)
                raise
        self.seconds[name] = time.perf_counter() - start
        self._line('[green]✓[/]', name, step.detail, self.seconds[name])

    def _line(self, mark, name, detail, seconds):
        room = self.console.width - LABEL - 14
        detail = detail if len(detail) <= room else detail[: room - 1] + '…'
        self.console.print(f'{mark} [bold]{name:{LABEL}s}[/] {escape(detail):{room}s} [cyan]{seconds:7.1f} s[/]')

    def skipped(self, name: str, detail: str):
        """A phase that there was no need for."""
        self.console.print(f'[dim]- {name:{LABEL}s} {escape(detail)}[/]')

    def note(self, text: str):
        self.console.print(f'[yellow]! {escape(text)}[/]')

    def error(self, text: str):
        """The message of a refusal, uncut."""
        self.console.print(f'[bold red]error:[/] {escape(text)}', soft_wrap=True)

    def print(self, *things):
        self.console.print(*things)

    def written(self, path):
        """A file or folder, uncut however long it is."""
        self.console.print(f'[bold]{escape(str(path))}[/]', soft_wrap=True)
