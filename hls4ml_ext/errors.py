"""The exceptions of hls4ml-ext. Each message names the layer, the value and the remedy."""

from __future__ import annotations

import numpy as np


class ExtError(ValueError):
    """Base class of everything hls4ml-ext refuses."""


class ConversionError(ExtError):
    """A layer, or the way layers are connected, has no exact hardware.

    Args:
        layer: Name of the layer.
        problem: What is wrong, with the offending value.
        remedy: What to change.
    """

    def __init__(self, layer: str, problem: str, remedy: str):
        self.layer, self.problem, self.remedy = layer, problem, remedy
        super().__init__(f"layer '{layer}': {problem}. {remedy}")


class PrecisionError(ConversionError):
    """A sum needs more bits than the Keras model's floating-point numbers hold exactly."""


class SettingsError(ConversionError):
    """An argument of a function, or a setting in ``hls_config``, can't be used.

    Args:
        where: The argument, or the path to the setting: ``'hls_config.Model.ReuseFactor'``.
        problem: What is wrong, with the offending value.
        remedy: What to change.
    """

    def __init__(self, where: str, problem: str, remedy: str):
        self.layer, self.where, self.problem, self.remedy = '', where, problem, remedy
        ExtError.__init__(self, f'{where} {problem}. {remedy}')


class ProjectError(ExtError):
    """A project directory, a project file or a tool on this machine is not usable as asked."""


# ---------------------------------------------------------------------------------------------------------------------
# Values in messages
# ---------------------------------------------------------------------------------------------------------------------

LONGEST = 80
"""Characters of a value in a message."""


def plain(value):
    """A value with Python's own numbers instead of NumPy's, also within dicts, lists and tuples."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {plain(key): plain(v) for key, v in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    return value


def shown(value) -> str:
    """A value as a message shows it: as Python writes it, with NumPy's numbers like Python's own, and not too long."""
    text = ' '.join(repr(plain(value)).split())
    return text if len(text) <= LONGEST else f'{text[: LONGEST - 3]}...'
