"""The directory of a run.

It holds ``model.keras`` (trained, without batch normalization), ``training.json``, ``training.csv`` and ``curves.png`` (how
it was trained), ``float.keras`` (before quantization), ``training/`` (checkpoints, to resume), ``hls/`` (the HLS project),
``results.json``, ``timeline.json``, ``pareto.json`` and ``evaluation.json``. One run at a time can use it.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.files import LOCK, locked, make_directory, read_json, remove_unfinished, replacing, unusable, write_json
from hls4ml_ext.project import FLOAT_MODEL, Project
from hls4ml_ext.saving import save_model

MARK = '.hls4ml-ext-run'
"""The file by which a directory is known to be a run's."""

TIMELINE = 'timeline.json'
"""What each engine does when: a :class:`hls4ml_ext.rtl.cycles.Timeline`."""


class RunDirectory:
    """Makes the directory, keeps other runs from using it, and marks it as a run's.

    Args:
        path: It must be new, empty or a run's. Until :meth:`close` no other run can use it.
        project: What is run in it.

    Raises:
        ProjectError: if it can't be used, or another process uses it.
    """

    def __init__(self, path: Path, project: Project):
        self.path, self.project = path, project
        self._claim = contextlib.ExitStack()
        mark = path / MARK
        make_directory(path)
        try:
            if not mark.is_file() and any(file.name != LOCK for file in path.iterdir()):
                raise ProjectError(
                    f"output directory '{path}' has files in it and is not a run of hls4ml-ext (no {MARK}). "
                    'Choose another one with --output'
                )
            self._claim.enter_context(locked(path))
            mark.write_text('A run of hls4ml-ext: files in this directory are overwritten.\n')
        except OSError as e:
            raise unusable(path, e) from None
        remove_unfinished(path)

    def close(self):
        """Lets other runs use the directory."""
        self._claim.close()

    @property
    def model_file(self) -> Path:
        """The trained model, without batch normalization."""
        return self.path / 'model.keras'

    @property
    def float_model_file(self) -> Path | None:
        """The float model that this run was quantized from, if there is one."""
        return next((f for f in (self.path / FLOAT_MODEL, self.project.training.initial) if f and f.is_file()), None)

    @property
    def hls(self) -> Path:
        """The HLS or RTL project."""
        return self.path / 'hls'

    def training(self) -> dict:
        """How the model was trained; empty if it has not been."""
        return read_json(self.path / 'training.json')

    def trained(self) -> bool:
        """Is there a model that was trained as the project asks for?"""
        return self.model_file.is_file() and self.training().get('fingerprint') == self.project.fingerprint()

    def save(self, model, phases: list[dict]):
        """Writes a trained model, and how it was trained.

        Args:
            model: keras.Model, without batch normalization.
            phases: Of its training.
        """
        from hls4ml_ext.report import facts

        with contextlib.suppress(FileNotFoundError):  # it describes the model that is about to be replaced
            (self.path / 'training.json').unlink()
        with replacing(self.model_file) as unfinished:
            save_model(model, unfinished)
        about = {
            'fingerprint': self.project.fingerprint(),
            'seed': self.project.seed,
            'seconds': round(sum((phase['seconds'] for phase in phases), start=0.0), 3),
            'phases': phases,
        }
        self.write('training.json', {**about, 'versions': facts.versions(), 'machine': facts.machine()})
        if phases:
            from hls4ml_ext.report.plots.training import training_curves

            training_curves(phases, self.path / 'curves.png')

    def write(self, name: str, content: dict, indent: int | None = 2) -> Path:
        """Writes a JSON file. Raises ProjectError if that is impossible."""
        write_json(self.path / name, content, indent)
        return self.path / name
