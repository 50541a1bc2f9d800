"""Checkpoints: all that a training needs to go on, in one file that is replaced at once."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.files import replacing


@dataclass
class Checkpoint:
    """The state of a phase of training after an epoch.

    Attributes:
        fingerprint: Of the project that is being trained.
        phase: Name of the phase.
        epoch: Epochs of it that are done.
        groups: Arrays by what they are: 'model', 'optimizer' and 'best' (the weights of the best epoch so far).
        log: The phase's log as a dict.
    """

    fingerprint: str
    phase: str
    epoch: int
    groups: dict[str, list[np.ndarray]]
    log: dict = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Has the phase come to its end?"""
        return self.epoch >= self.log['epochs']

    def save(self, path: Path):
        """Writes the file; an interrupt at any moment leaves the old or the new one."""
        about = {name: value for name, value in vars(self).items() if name != 'groups'}
        about['sizes'] = {name: len(arrays) for name, arrays in self.groups.items()}
        arrays = {f'{name}.{i}': a for name, group in self.groups.items() for i, a in enumerate(group)}
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as unfinished, open(unfinished, 'wb') as file:
            np.savez(file, about=np.array(json.dumps(about)), **arrays)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: Path) -> Checkpoint:
        """The checkpoint in a file. Raises ProjectError if it is damaged."""
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file['about']))
                sizes = about.pop('sizes')
                groups = {name: [file[f'{name}.{i}'] for i in range(size)] for name, size in sizes.items()}
            return cls(groups=groups, **about)
        except Exception as e:  # NumPy, zipfile and json have many ways to say that a file is broken
            raise ProjectError(
                f"checkpoint '{path}' is damaged ({e}). Remove it, or train from the start with --retrain"
            ) from None


def checkpoint_file(directory: Path, phase: str) -> Path:
    """Where a run's directory keeps the checkpoint of a phase."""
    return directory / 'training' / f'{phase}.npz'


def values(variables) -> list[np.ndarray]:
    """Copies of Keras variables as arrays."""
    import keras

    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


def assign(variables, arrays, what: str):
    """Sets Keras variables.

    Args:
        variables: The variables.
        arrays: Their values, in the same order.
        what: Where the values are from, for the message.

    Raises:
        ProjectError: if number or shapes differ: the values are of another architecture.
    """
    variables = list(variables)
    if len(variables) != len(arrays):
        raise ProjectError(
            f'{what} has {len(arrays)} arrays, but the model has {len(variables)}: it is of another architecture. Use the '
            'model section it was trained with'
        )
    for variable, array in zip(variables, arrays):
        if tuple(variable.shape) != array.shape:
            raise ProjectError(
                f'{what}: {variable.path} has shape {array.shape}, but in the model {tuple(variable.shape)}: it is of '
                'another architecture. Use the model section it was trained with'
            )
    for variable, array in zip(variables, arrays):
        variable.assign(array)


def forget(*paths: Path):
    """Removes files that may not exist."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
