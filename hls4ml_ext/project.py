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

from hls4ml_ext.conversion import DEFAULT_PART
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.train.sources import SOURCES, existing_file
from hls4ml_ext.validation import check, known_keys
from models import BUILDERS, builder
from models.knobs import Count, Quantization, Section

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
    """One phase of training."""

    epochs: Annotated[int, Field(strict=True, ge=0)] = 0
    learning_rate: Annotated[float, Field(gt=0, le=10)] = 1e-3


class Training(Section):
    """The phases of training; one that is not given is left out.

    Attributes:
        batch_size: Images of a training step.
        validation_fraction: Of the training images, kept apart to show how training goes.
        label_smoothing: Share of every label that is spread over all classes.
        pretrain: In floating point.
        qat: Quantization-aware, with batch normalization.
        finetune: Quantization-aware, after batch normalization is folded: what the hardware computes.
    """

    batch_size: Count = 64
    validation_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    pretrain: Phase = Phase()
    qat: Phase = Phase()
    finetune: Phase = Phase()

    @property
    def epochs(self) -> int:
        return self.pretrain.epochs + self.qat.epochs + self.finetune.epochs


class LayerSettings(Section):
    """What ``hls_config`` can set for a layer."""

    reuse_factor: Count | None = None
    weight_storage: Literal['auto', 'bram', 'lutram'] | None = None
    mult_impl: Literal['auto', 'dsp', 'lut'] | None = None
    state_storage: Literal['uram', 'bram', 'lutram'] | None = None


class Hardware(Section):
    """The HLS project.

    Attributes:
        reuse_factor: Of every layer; the nearest smaller one that divides a layer is used.
        layers: Name of a layer -> its own settings; 'ode1.pw1' is within the block ode1.
    """

    backend: Literal['Vitis', 'Vivado'] = 'Vitis'
    io_type: Literal['io_stream', 'io_parallel'] = 'io_stream'
    part: Annotated[str, Field(min_length=1)] = DEFAULT_PART
    clock_period: Annotated[float, Field(gt=0, le=1000)] = 5.0
    reuse_factor: Count = 1
    layers: dict[str, LayerSettings] = {}

    def hls_config(self) -> dict:
        """The ``hls_config`` for :func:`hls4ml_ext.convert`."""
        layers = {}
        for name, settings in self.layers.items():
            given = settings.model_dump(exclude_none=True)
            layers[name] = {key.title().replace('_', ''): value for key, value in given.items()}
        return {'Model': {'ReuseFactor': self.reuse_factor}, 'LayerName': layers}


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
        hls: :class:`Hardware`.
    """

    path: Path
    name: Annotated[str, Field(pattern=r'^[A-Za-z0-9][A-Za-z0-9_.-]*$')]
    seed: Annotated[int, Field(strict=True, ge=0, lt=2**31)] = 0
    model: InstanceOf[BuiltModel] | InstanceOf[ModelFile]
    data: InstanceOf[Section]
    training: Training = Training()
    quantization: Quantization = Quantization()
    hls: Hardware = Hardware()

    @field_validator('training', mode='before')
    @classmethod
    def _none(cls, training):
        if training in (None, 'none'):
            return {}
        if not isinstance(training, (dict, Training)):
            raise ValueError(f"{training!r} is neither 'none' nor a group of phases")
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
        return isinstance(self.model, BuiltModel) and self.training.epochs == 0

    def fingerprint(self) -> str:
        """Changes with everything that the trained model depends on, but not with the hardware's settings."""
        from hls4ml_ext import __version__

        parts = self.model_dump(mode='json', include={'seed', 'training', 'quantization'})
        parts['model'], parts['data'] = self.model.model_dump(mode='json'), self.data.model_dump(mode='json')
        if isinstance(self.model, BuiltModel):
            parts['model']['knobs'] = self.model.knobs.model_dump(mode='json')
        values = [*dict(self.model).values(), *dict(self.data).values()]
        files = [value for value in values if isinstance(value, Path) and value.is_file()]
        parts['files'] = [(str(f), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
        parts['version'] = __version__
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


# ---------------------------------------------------------------------------------------------------------------------
# Loading
# ---------------------------------------------------------------------------------------------------------------------


def load_project(path) -> Project:
    """Reads and validates a project file; relative paths in it start from its directory.

    Args:
        path: The YAML file.

    Raises:
        ProjectError: with one line for each mistake, naming file, key and remedy.
    """
    path = Path(path)
    raw = _read(path)
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
        raise ProjectError('\n'.join(f'{path}: {problem}' for problem in problems))
    return project


def _read(path: Path) -> dict:
    if not path.is_file():
        raise ProjectError(f"there is no project file '{path}'")
    try:
        raw = yaml.load(path.read_text(), _Loader)
    except yaml.YAMLError as e:
        mark = getattr(e, 'problem_mark', None)
        where = f' in line {mark.line + 1}' if mark else ''
        raise ProjectError(f'{path}: not YAML{where}: {getattr(e, "problem", None) or e}') from None
    except (OSError, UnicodeDecodeError) as e:
        raise ProjectError(f"project file '{path}' can't be read: {e}") from None
    if not isinstance(raw, dict):
        raise ProjectError(f'{path}: a project file has sections such as model and data; this one has none')
    if 'path' in raw:
        raise ProjectError(f'{path}: path: unknown key. Known keys: {", ".join(known_keys(Project))}')
    return raw


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML would silently take the last."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                mark = node.value[i][0].start_mark
                raise yaml.constructor.ConstructorError(None, None, f"key '{key}' is given twice", mark)
        return super().construct_mapping(node, deep)


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
