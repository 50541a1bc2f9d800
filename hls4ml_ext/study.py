"""A study: variants of one project, trained and evaluated alike, in tables and pictures.

A study file names a project and its variants, each a set of changes to the project file:

    project: cifar10.yml
    seeds: [1, 2, 3]
    variants:
      w4a8: {title: four bits, role: headline}
      w4a4: {title: four bits, role: bits, changes: {quantization: {activations: 4}}, seeds: [1]}

The directory of a study holds ``VARIANT/seedN``, a run's directory, for each variant and seed, and ``study.json``,
``study.md`` and the pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, InstanceOf

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.files import locked, make_directory, read_json, write_json
from hls4ml_ext.models.knobs import Repeats, Section, merge
from hls4ml_ext.project import FLOAT_PHASES, Name, Project, Seed, parse_project, read_yaml
from hls4ml_ext.report import study as study_report
from hls4ml_ext.report.console import Reporter
from hls4ml_ext.run import Run
from hls4ml_ext.shipped import project_name, project_path
from hls4ml_ext.train.checkpoint import Checkpoint, checkpoint_file
from hls4ml_ext.validation import check

PATIENCE = 60
"""Seconds to wait for another process that writes the tables and pictures of the same study."""


def _different(seeds: list[int]) -> list[int]:
    if len(set(seeds)) < len(seeds):
        raise ValueError(f'{seeds} has a seed twice')
    return seeds


Seeds = Annotated[list[Seed], AfterValidator(_different)]


class Variant(Section):
    """One row of a study.

    Attributes:
        title: What people read.
        role: Which tables and pictures it is in: 'bits' (the main model at other bit widths), 'model' (other models),
            'headline' (both).
        steps: Numbers of steps at which it is evaluated, too.
        seeds: With each of them it is trained once; none are the study's.
        changes: What differs from the study's project, section by section.
    """

    title: str
    role: Literal['headline', 'bits', 'model'] = 'model'
    steps: list[Repeats] = []
    seeds: Seeds = []
    changes: dict = {}


class Study(Section):
    """A study file.

    Attributes:
        path: The file.
        name: Name of the study; the default is that of the file.
        title: What people read.
        seeds: Of variants that have no seeds of their own; none are the project's own.
        variants: Name of each variant -> what it is.
        projects: Name of each variant -> seed -> its project.
    """

    path: Path
    name: Name
    title: str
    seeds: Seeds = []
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]
    projects: dict[str, dict[int, InstanceOf[Project]]] = {}


def load_study(path) -> Study:
    """Reads and validates a study file and the projects of all its variants.

    Args:
        path: The YAML file; or the name of one that comes with the package, see :func:`~hls4ml_ext.shipped.project_path`.

    Raises:
        ProjectError: with a line for each mistake.
    """
    path = project_path(Path(path))
    raw = read_yaml(path)
    if 'model' in raw and 'variants' not in raw:
        raise ProjectError(f'{path}: it is a project, not a study. Use it: hls4ml-ext run {project_name(path)}')
    base = raw.pop('project', None)
    if not isinstance(base, str):
        raise ProjectError(f'{path}: project: is missing. Give the path of a project file, or the name of one')
    problems: list[str] = []
    study = check(Study, {'path': path.absolute(), 'name': path.stem, 'title': path.stem, **raw}, (), None, problems)
    if problems:
        raise ProjectError('\n'.join(f'{path}: {problem}' for problem in problems))
    base_path = project_path(Path(base), path.absolute().parent)
    content = read_yaml(base_path)
    projects = {}
    for name, variant in study.variants.items():
        changed = merge(content, {'name': name, **variant.changes})
        project = parse_project(changed, base_path, f'{path}: variants.{name}.changes')
        seeds = variant.seeds or study.seeds or [project.seed]
        projects[name] = {seed: project.model_copy(update={'seed': seed}) for seed in seeds}
    return study.model_copy(update={'projects': projects})


class StudyRun:
    """Trains and evaluates the variants of a study.

    Args:
        study: The study.
        output: Its directory; None is ``runs/NAME`` below the current one.
        reporter: Where progress is shown.

    Raises:
        ProjectError: if the directory can't be used.
    """

    def __init__(self, study: Study, output: Path | None = None, reporter: Reporter | None = None):
        self.study = study
        self.reporter = reporter or Reporter()
        self.directory = Path(output) if output else Path('runs') / study.name
        make_directory(self.directory)

    def run(self, only=()) -> dict:
        """Trains and evaluates; what has been done is not done again.

        Args:
            only: Names of variants; empty is all of them. Tables and pictures are made of all that have been evaluated.

        Returns:
            dict: as written to ``study.json``.

        Raises:
            ProjectError: on a variant that does not exist, and on whatever stops a run.
        """
        unknown = [name for name in only if name not in self.study.variants]
        if unknown:
            known = ', '.join(self.study.variants)
            raise ProjectError(f"study '{self.study.name}' has no variant {unknown[0]!r}. It has {known}")
        for name, projects in self.study.projects.items():
            if only and name not in only:
                continue
            for seed in projects:
                self.reporter.print(f'\n[bold]{self.study.variants[name].title}[/]  {name}, seed {seed}')
                self._run(name, seed)
        return self.write()

    def directory_of(self, name: str, seed: int) -> Path:
        """The run's directory of a variant."""
        return self.directory / name / f'seed{seed}'

    def _run(self, name: str, seed: int):
        with Run(self.study.projects[name][seed], self.directory_of(name, seed), self.reporter) as run:
            self._share_float_phases(name, seed)
            run.train()
            known = self.evaluation(name, seed)
            if known is None or known['training']['fingerprint'] != run.project.fingerprint():
                run.evaluate(self.study.variants[name].steps)

    def _share_float_phases(self, name: str, seed: int):
        """Takes over the phases in floating point from a variant that differs only in what comes after them."""
        project = self.study.projects[name][seed]
        for phase in FLOAT_PHASES:
            file = checkpoint_file(self.directory_of(name, seed), phase)
            if phase not in project.training.phases or file.is_file():
                continue
            for other in self.study.variants:
                found = checkpoint_file(self.directory_of(other, seed), phase)
                if other == name or not found.is_file():
                    continue
                checkpoint = Checkpoint.load(found)
                if checkpoint.fingerprint == project.fingerprint(phase) and checkpoint.complete:
                    checkpoint.save(file)
                    self.reporter.skipped(phase, f'as for {other}')
                    break

    def evaluation(self, name: str, seed: int) -> dict | None:
        """What is known of a variant: the content of its ``evaluation.json``, or None."""
        return read_json(self.directory_of(name, seed) / 'evaluation.json') or None

    def write(self) -> dict:
        """Writes ``study.json``, ``study.md`` and the pictures of all that has been evaluated.

        Returns:
            dict: as written to ``study.json``: among others a row for each variant and seed.
        """
        rows = [
            {'name': name, **variant.model_dump(exclude={'changes', 'seeds'}), **evaluation}
            for name, variant in self.study.variants.items()
            for seed in self.study.projects[name]
            if (evaluation := self.evaluation(name, seed))
        ]
        content = {'study': self.study.name, 'title': self.study.title, 'rows': rows}
        with locked(self.directory, PATIENCE):  # others may train other variants of the same study
            write_json(self.directory / 'study.json', content)
            written = study_report.write(content, self.directory)
        for path in written:
            self.reporter.written(path)
        return content
