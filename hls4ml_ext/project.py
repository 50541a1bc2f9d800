"""Project files: a model, its data, its training, its bit widths and its hardware, in YAML.

Every mistake in a file is reported as ``FILE: path.to.key: what is wrong``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field, InstanceOf, ValidationInfo, field_validator, model_validator

from hls4ml_ext.errors import ProjectError, shown
from hls4ml_ext.models import BUILDERS, builder
from hls4ml_ext.models.knobs import Count, Quantization, Section
from hls4ml_ext.settings import Hardware
from hls4ml_ext.shipped import project_name, project_path
from hls4ml_ext.train.augment import Augmentation
from hls4ml_ext.train.sources import SOURCES, existing_file, relative_to_project
from hls4ml_ext.validation import check, known_keys

PHASES = ('pretrain', 'refine', 'qat', 'finetune')
"""The phases of training, in order."""

FLOAT_PHASES = ('pretrain', 'refine')
"""Those in floating point."""

FLOAT_MODEL = 'float.keras'
"""Name of the file in a run's directory that holds the model after the phases in floating point."""

INITIAL_REMEDY = 'Train that run again, or give pretrain.epochs instead of training.initial'
"""What to do if the file of ``training.initial`` is damaged."""

DEPTH = 30
"""So many groups and lists may be within each other in a file."""

MERGE = 'tag:yaml.org,2002:merge'

Name = Annotated[str, Field(pattern=r'^[A-Za-z0-9][A-Za-z0-9_.-]*$')]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**31)]

# ---------------------------------------------------------------------------------------------------------------------
# Sections
# ---------------------------------------------------------------------------------------------------------------------


class BuiltModel(Section):
    """``model: {builder: NAME, ...knobs}``."""

    builder: str
    knobs: InstanceOf[Section]


class ModelFile(Section):
    """``model: {file: PATH.keras}``: a Keras model that was trained elsewhere."""

    file: Path

    @field_validator('file')
    @classmethod
    def _exists(cls, file, info: ValidationInfo):
        return existing_file(file, info)


class Phase(Section):
    """One phase of training.

    Attributes:
        epochs: How often the training images are shown.
        learning_rate: The largest.
        clip_norm: Largest norm of the gradients of all weights together; larger ones are scaled down; 0 is any.
    """

    epochs: Annotated[int, Field(strict=True, ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3
    clip_norm: Annotated[float, Field(ge=0)] = 0.0


class Training(Section):
    """The phases of training; one that is not given is left out.

    Attributes:
        batch_size: Images of a training step.
        validation_fraction: Of the training images, kept apart: the epoch that is best on them is the one that is kept.
        label_smoothing: Share of every label that is spread over all classes.
        optimizer: 'adam' (with decoupled weight decay: AdamW) or 'sgd' (with Nesterov momentum of 0.9).
        weight_decay: Of all weights, relative to the learning rate.
        warm_up: Share of a phase in which the learning rate rises from zero, before it falls to zero as a cosine.
        ema: Momentum of an exponential moving average of the weights, which is what is validated and kept; 0 is none.
        augmentation: See :class:`~hls4ml_ext.train.augment.Augmentation`.
        initial: Instead of pretraining: the float model of another run, its directory or a ``float.keras``.
        pretrain: In floating point, with batch normalization.
        refine: In floating point, after batch normalization is folded. The steps of an ODE block share one set of
            statistics, which in inference fits none of them exactly; this repairs it.
        qat: Quantization-aware, with batch normalization.
        finetune: Quantization-aware, after batch normalization is folded: what the hardware computes.
    """

    batch_size: Count = 64
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    optimizer: Literal['adam', 'sgd'] = 'adam'
    weight_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    warm_up: Annotated[float, Field(ge=0, lt=1)] = 0.05
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augmentation: Augmentation = Augmentation()
    initial: Path | None = None
    pretrain: Phase = Phase()
    refine: Phase = Phase()
    qat: Phase = Phase()
    finetune: Phase = Phase()

    @field_validator('initial')
    @classmethod
    def _float_model(cls, initial, info: ValidationInfo):
        path = relative_to_project(initial, info)
        if path is None or path.suffix == '.keras':
            return path
        return path / FLOAT_MODEL

    @model_validator(mode='after')
    def _one_beginning(self):
        if self.initial and self.pretrain.epochs:
            raise ValueError('initial: a float model is given, and pretrain.epochs as well. Leave one out')
        if self.refine.epochs and self.qat.epochs:
            raise ValueError('qat: after refine there is no batch normalization left. Leave one out; finetune follows both')
        return self

    @property
    def phases(self) -> dict[str, Phase]:
        """The phases that have epochs, by name, in order."""
        return {name: phase for name in PHASES if (phase := getattr(self, name)).epochs}

    @property
    def epochs(self) -> int:
        return sum(phase.epochs for phase in self.phases.values())


class Calibration(Section):
    """How the ranges of activations are found, if there is a float model to look at.

    Attributes:
        method: 'fixed' (those of the builder), 'minmax' (nothing is clipped), 'percentile' (99.9 % of the numbers are not
            clipped) or 'mse' (least squared error of rounding and clipping).
        images: Training images to look at.
    """

    method: Literal['fixed', 'minmax', 'percentile', 'mse'] = 'mse'
    images: Count = 512


class Project(Section):
    """A project file.

    Attributes:
        path: The file.
        name: Name of the project; the default is that of the file.
        seed: Of weights, data splits and shuffling.
        model: :class:`BuiltModel` or :class:`ModelFile`.
        data: One of :data:`hls4ml_ext.train.sources.SOURCES`.
        training: :class:`Training`; with no epochs at all the weights stay random (``training: none``).
        quantization: Bit widths of a built model.
        calibration: :class:`Calibration`.
        hls: :class:`Hardware`.
        title: What people read about it in a list of projects.
    """

    path: Path
    name: Name
    seed: Seed = 0
    model: InstanceOf[BuiltModel] | InstanceOf[ModelFile]
    data: InstanceOf[Section]
    training: Training = Training()
    quantization: Quantization = Quantization()
    calibration: Calibration = Calibration()
    hls: Hardware = Hardware()
    title: str = ''

    @field_validator('training', mode='before')
    @classmethod
    def _none(cls, training):
        if training in (None, 'none'):
            return {}
        if not isinstance(training, (dict, Training)):
            raise ValueError(f"{shown(training)} is neither 'none' nor a group of phases")
        return training

    @model_validator(mode='after')
    def _fits_together(self):
        if isinstance(self.model, ModelFile):
            for key in ('quantization', 'training'):
                if key in self.model_fields_set and (key == 'quantization' or self.training.epochs):
                    raise ValueError(
                        f'{key}: the model comes from {self.model.file.name} and is taken as it is; remove this section'
                    )
        elif 'training' not in self.model_fields_set:
            raise ValueError("training: is missing. Give its phases, or 'none' for random weights")
        return self

    @property
    def random_weights(self) -> bool:
        return isinstance(self.model, BuiltModel) and self.training.epochs == 0 and self.training.initial is None

    def fingerprint(self, phase: str = PHASES[-1]) -> str:
        """Changes with everything that the model depends on when a phase is done, but not with the hardware's settings."""
        from hls4ml_ext import __version__

        parts = self.model_dump(mode='json', include={'seed', 'training', 'quantization', 'calibration'})
        for later in PHASES[PHASES.index(phase) + 1 :]:
            del parts['training'][later]
        if phase in FLOAT_PHASES:
            del parts['quantization'], parts['calibration']
        parts['model'], parts['data'] = self.model.model_dump(mode='json'), self.data.model_dump(mode='json')
        if isinstance(self.model, BuiltModel):
            parts['model']['knobs'] = self.model.knobs.model_dump(mode='json')
        for name, section in (('model', self.model), ('data', self.data), ('training', self.training)):
            paths = {key: value for key, value in section if isinstance(value, Path)}
            parts[name] |= {key: _contents(path) for key, path in paths.items()}  # wherever it is
        parts['version'] = __version__
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


SMALL_FILE = 1 << 24
"""Bytes up to which a file is known by its content; larger ones, which are data sets, by size and time of change."""


def _contents(path: Path) -> list:
    """What tells a file, or all files of a folder, from others, but not where it is."""
    found = []
    for file in sorted(path.rglob('*')) if path.is_dir() else [path]:
        if file.is_file():
            size, changed = file.stat().st_size, file.stat().st_mtime_ns
            state = hashlib.sha256(file.read_bytes()).hexdigest() if size <= SMALL_FILE else changed
            found.append([str(file.relative_to(path.parent)), size, state])
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Loading
# ---------------------------------------------------------------------------------------------------------------------


def load_project(path) -> Project:
    """Reads and validates a project file; relative paths in it start from its directory.

    Args:
        path: The YAML file; or the name of one that comes with the package, see :func:`~hls4ml_ext.shipped.project_path`.

    Raises:
        ProjectError: with one line for each mistake, naming file, key and remedy.
    """
    path = project_path(Path(path))
    raw = read_yaml(path)
    if 'variants' in raw:
        raise ProjectError(f'{path}: it is a study, not a project. Use it: hls4ml-ext study {project_name(path)}')
    return parse_project(raw, path, str(path))


def parse_project(raw: dict, path: Path, where: str) -> Project:
    """Validates the content of a project file.

    Args:
        raw: The sections.
        path: The file; relative paths start from its directory.
        where: What mistakes are said to be in.

    Raises:
        ProjectError: with one line for each mistake.
    """
    if 'path' in raw:
        raise ProjectError(f'{where}: path: unknown key. Known keys: {", ".join(known_keys(Project))}')
    problems: list[str] = []
    context = {'base': path.absolute().parent}
    values = {'path': path.absolute(), 'name': path.stem, **raw}
    for key, parse in (('model', _model), ('data', _data)):
        if key in raw:
            values[key] = parse(raw[key], context, problems)
    broken = [key for key in ('model', 'data') if key in values and values[key] is None]
    rest = {key: value for key, value in values.items() if key not in broken}
    project = check(Project, rest, (), context, problems, known=broken)
    if problems:
        raise ProjectError('\n'.join(f'{where}: {problem}' for problem in problems))
    return project


def read_yaml(path: Path) -> dict:
    """The sections of a project file. Raises ProjectError if it is none."""
    try:
        raw = yaml.load(path.read_text(encoding='utf-8'), _Loader)
    except yaml.YAMLError as e:
        mark = getattr(e, 'problem_mark', None)
        where = f' in line {mark.line + 1}' if mark else ''
        raise ProjectError(f'{path}: not YAML{where}: {getattr(e, "problem", None) or e}') from None
    except (OSError, UnicodeDecodeError) as e:
        raise ProjectError(f"project file '{path}' can't be read: {e}") from None
    if not isinstance(raw, dict):
        raise ProjectError(f'{path}: a project file has sections such as model and data; this one has none')
    return raw


class _Loader(yaml.SafeLoader):
    """Refuses what YAML would silently take otherwise than meant, and what no project file needs.

    These are a key that is given twice, of which YAML takes the last (one that a merge, ``<<: *other``, brings may be given
    once more); a key that is no text (``on`` is true); and groups within groups, hundreds deep.
    """

    def __init__(self, stream):
        super().__init__(stream)
        self.depth = 0
        self.checked: set[int] = set()
        self.merging: list[int] = []

    def compose_node(self, parent, index):
        if self.depth >= DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, f'there are more than {DEPTH} groups within each other', mark)
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def flatten_mapping(self, node):
        """Brings in the keys that are merged; called once or more for a group."""
        if id(node) not in self.checked:
            self.checked.add(id(node))
            self._check_keys([key for key, _ in node.value if key.tag != MERGE])
        if id(node) in self.merging:
            raise yaml.constructor.ConstructorError(None, None, 'a group is merged into itself', node.start_mark)
        self.merging.append(id(node))
        super().flatten_mapping(node)
        self.merging.pop()

    def _check_keys(self, nodes):
        found = set()
        for node in nodes:
            key = self.construct_object(node, deep=True)
            if not isinstance(key, str):
                problem = f'key {shown(key)} is not a name. Write it in quotes'
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
            if key in found:
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", node.start_mark)
            found.add(key)


def _model(raw, context, problems):
    if isinstance(raw, str):
        raw = {'file': raw}
    if not isinstance(raw, dict):
        problems.append('model: give a builder with its knobs, or the path of a .keras file')
        return None
    if 'file' in raw:
        return check(ModelFile, raw, ('model',), context, problems)
    name = raw.get('builder')
    if name not in BUILDERS:
        problems.append(f'model.builder: {_not_one_of(name, BUILDERS)}')
        return None
    knobs = check(builder(name).Knobs, {k: v for k, v in raw.items() if k != 'builder'}, ('model',), context, problems)
    return knobs and BuiltModel(builder=name, knobs=knobs)


def _data(raw, context, problems):
    if isinstance(raw, str):
        raw = {'source': raw}
    name = raw.get('source') if isinstance(raw, dict) else None
    if name not in SOURCES:
        problems.append(f'data.source: {_not_one_of(name, SOURCES)}')
        return None
    return check(SOURCES[name], raw, ('data',), context, problems)


def _not_one_of(name, known) -> str:
    return (f'{name!r} is not one of ' if name is not None else 'is missing. Use one of ') + ', '.join(known)
