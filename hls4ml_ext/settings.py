"""What can be set of the hardware, defined once: for the ``hls`` section of a project file, and for ``hls4ml_ext.convert``.

A key of a layer is a field of :class:`LayerSettings`. A project file calls it ``reuse_factor``, and ``hls_config``, as
hls4ml does, ``ReuseFactor``. Which layers read it, their nodes say: ``settings`` of :class:`~hls4ml_ext.ExactLayer`.
"""

from __future__ import annotations

import difflib
import os
import re
import warnings
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_pascal
from pydantic_core import PydanticCustomError

from hls4ml_ext.errors import ConversionError, SettingsError, shown
from hls4ml_ext.models.knobs import Count, Section
from hls4ml_ext.names import is_safe
from hls4ml_ext.validation import Mistake, validated

BACKENDS = ('Vivado', 'Vitis', 'RTL')

DEFAULT_PART = 'xczu7ev-ffvc1156-2-e'
"""The FPGA of the ZCU104."""

DEFAULT_PRECISION = 'fixed<16,6>'
"""hls4ml wants a type for the model; nothing of an exact graph has it."""

# ---------------------------------------------------------------------------------------------------------------------
# Fields
# ---------------------------------------------------------------------------------------------------------------------


def _number(value):
    if isinstance(value, bool):
        raise PydanticCustomError('float_type', 'not a number')
    return value


def _name(value: str) -> str:
    if not is_safe(value):
        remedy = 'Use letters, digits and single underscores, a lower-case letter among them, and no word of C++ or Verilog'
        raise PydanticCustomError('name', remedy)
    return value


def _uncertainty(value):
    if not re.fullmatch(r'\d+(\.\d+)?\s*%?', str(value)):
        raise PydanticCustomError('uncertainty', "Use a share of the period, such as '27%', or a number of nanoseconds")
    return value


def _test_bench(value):
    path = Path(value)
    if path.suffix not in ('.npy', '.dat'):
        raise PydanticCustomError('test_bench', 'Use an .npy or a .dat file')
    if not path.is_file():
        raise PydanticCustomError('test_bench', 'There is no such file')
    return str(path)


Part = Annotated[str, Field(pattern=r'^[A-Za-z0-9][A-Za-z0-9_-]*$')]
Period = Annotated[float, BeforeValidator(_number), Field(gt=0, le=1000)]
Flag = Annotated[bool, Field(strict=True)]
SafeName = Annotated[str, AfterValidator(_name)]
TestBench = Annotated[str | os.PathLike, AfterValidator(_test_bench)]

# ---------------------------------------------------------------------------------------------------------------------
# Groups
# ---------------------------------------------------------------------------------------------------------------------


class LayerSettings(Section):
    """What can be set for a layer."""

    model_config = ConfigDict(alias_generator=to_pascal, validate_by_name=True)

    hints: ClassVar[dict[str, str]] = {
        'Precision': "All types come from the model's quantizers: leave it out",
        'Strategy': 'There is one kernel for each kind of layer; ReuseFactor, WeightStorage and MultImpl shape it',
    }

    reuse_factor: Count | None = None
    simd: Annotated[Count | None, Field(alias='SIMD')] = None
    pe: Annotated[Count | None, Field(alias='PE')] = None
    weight_storage: Literal['auto', 'bram', 'lutram'] | None = None
    mult_impl: Literal['auto', 'dsp', 'lut'] | None = None
    state_storage: Literal['auto', 'uram', 'bram', 'lutram'] | None = None


class LayerConfig(dict):
    """A layer's entry of an ``hls_config`` that :func:`hls4ml_ext.config_from_model` gives.

    It shows ReuseFactor, SIMD and PE, of which one follows from the others: setting one takes out what it makes obsolete.

    Example::

        entry = LayerConfig(ReuseFactor=16, SIMD=8, PE=8)
        entry['ReuseFactor'] = 4  # {'ReuseFactor': 4}
        entry['PE'] = 2  # {'PE': 2}
    """

    def __setitem__(self, key, value):
        obsolete = {'ReuseFactor': ('SIMD', 'PE'), 'SIMD': ('ReuseFactor',), 'PE': ('ReuseFactor',)}
        for other in obsolete.get(key, ()):
            self.pop(other, None)
        super().__setitem__(key, value)


yaml.SafeDumper.add_representer(LayerConfig, lambda dumper, entry: dumper.represent_dict(entry))


class Target(Section):
    """What the hardware is made for, and how.

    Attributes:
        clock_period: In ns.
    """

    backend: Literal['Vitis', 'Vivado', 'RTL'] = 'Vitis'
    io_type: Literal['io_stream', 'io_parallel'] = 'io_stream'
    part: Part = DEFAULT_PART
    clock_period: Period = 5.0


class Hardware(Target):
    """The ``hls`` section of a project file.

    Attributes:
        reuse_factor: Of every layer; the nearest smaller one that divides a layer is used.
        build: Whether ``hls4ml-ext run`` also builds the hardware: synthesis, and a bitstream where there is an open flow.
        layers: Name of a layer -> its own settings; 'ode1.pw1' is within the block ode1.
    """

    reuse_factor: Count = 1
    build: Flag = False
    layers: dict[str, LayerSettings] = {}

    @model_validator(mode='after')
    def _can_be_built(self):
        if self.build and self.backend != 'RTL':
            raise ValueError(
                f'build: a run builds RTL only, and the backend is {self.backend}. Leave it out, or call build()'
            )
        if self.backend == 'RTL' and self.io_type != 'io_stream':
            raise ValueError(f'io_type: {self.io_type!r} is a setting of HLS back ends, not of RTL. Leave it out')
        return self

    def hls_config(self) -> dict:
        """The ``hls_config`` for :func:`hls4ml_ext.convert`."""
        layers = {name: settings.model_dump(by_alias=True, exclude_none=True) for name, settings in self.layers.items()}
        return {'Model': {'ReuseFactor': self.reuse_factor}, 'LayerName': layers}


class NamedLayer(LayerSettings):
    """An entry of ``hls_config['LayerName']``.

    Attributes:
        trace: Whether ``hls_model.trace`` records its output.
    """

    trace: Flag | None = None


class AllLayers(LayerSettings):
    """``hls_config['Model']``: settings of every layer that has none of its own, and what hls4ml wants to be there."""

    precision: Literal['fixed<16,6>'] = DEFAULT_PRECISION
    exact: Literal[True] = True


class HLSConfig(Section):
    """``hls_config``."""

    model_config = ConfigDict(alias_generator=to_pascal, validate_by_name=True)

    hints: ClassVar[dict[str, str]] = {'LayerType': "Layers are set one by one, in 'LayerName', or all in 'Model'"}

    model: AllLayers = AllLayers()
    layer_name: dict[Annotated[str, Field(strict=True)], NamedLayer] = {}


class Arguments(Target):
    """The arguments of :func:`hls4ml_ext.convert` besides the model; see there."""

    noun: ClassVar[str] = 'argument'

    output_dir: str | os.PathLike = 'my-hls-test'
    project_name: SafeName = 'myproject'
    hls_config: HLSConfig = HLSConfig()
    clock_uncertainty: Annotated[str | float, BeforeValidator(_number), AfterValidator(_uncertainty)] = '27%'
    version: Annotated[str, Field(pattern=r'^[A-Za-z0-9][A-Za-z0-9_.-]*$')] = '1.0.0'
    namespace: SafeName | None = None
    input_data_tb: TestBench | None = None
    output_data_tb: TestBench | None = None
    tb_output_stream: Literal['stdout', 'file', 'both'] = 'both'
    write_weights_txt: Flag = True
    write_tar: Flag = False
    write_emulation_constants: Flag = False

    @model_validator(mode='after')
    def _fits_together(self):
        if self.namespace == self.project_name:
            raise ValueError(f'namespace: {self.namespace!r} is the name of the project, too. Use another one')
        if self.backend == 'RTL':
            for name in HLS_ARGUMENTS:
                value, default = getattr(self, name), type(self).model_fields[name].default
                if value != default:
                    raise ValueError(f'{name}: {value!r} is a setting of HLS back ends, not of RTL. Leave it out')
        if self.write_emulation_constants and self.backend != 'Vitis':
            raise ValueError(f'write_emulation_constants: the {self.backend} backend has none. Leave it out')
        return self


HLS_ARGUMENTS = (
    'io_type', 'clock_uncertainty', 'version', 'namespace', 'input_data_tb', 'output_data_tb', 'tb_output_stream',
    'write_weights_txt', 'write_tar',
)  # fmt: skip
"""Arguments that the RTL backend has no use for."""


class ConfigArguments(Section):
    """The arguments of :func:`hls4ml_ext.config_from_model` besides the model."""

    granularity: Literal['name', 'model']
    default_reuse_factor: Count


# ---------------------------------------------------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------------------------------------------------


def check_arguments(group, given: dict[str, Any]):
    """The arguments of a function as a `group` of settings.

    Args:
        group: :class:`Arguments` or :class:`ConfigArguments`.
        given: Name -> value.

    Raises:
        SettingsError: naming the first argument or setting that can't be used.
    """
    arguments, mistakes = validated(group, given, aliases=True)
    if mistakes:
        raise _error(mistakes[0], '.'.join(map(str, mistakes[0].keys)))
    return arguments


def check_backend(backend) -> str:
    """The name of the backend as hls4ml spells it. Raises :class:`SettingsError` if there is no such one."""
    for name in BACKENDS:
        if name.lower() == str(backend).lower():
            return name
    raise SettingsError('backend', f'is {shown(backend)}', f'Use one of {", ".join(BACKENDS)}')


def _error(mistake: Mistake, where: str) -> ConversionError:
    keys = mistake.keys
    if mistake.remedy and keys[:2] == ('hls_config', 'LayerName') and len(keys) == 4:
        return ConversionError(keys[2], f'{keys[3]} is {shown(mistake.value)}', mistake.remedy)
    if mistake.remedy:
        return SettingsError(where, f'is {shown(mistake.value)}', mistake.remedy)
    problem, _, remedy = mistake.problem.partition('. ')
    return SettingsError(f'{where}:', problem, remedy)


# What hls4ml's own config_from_keras_model and converter put into hls_config, and no exact graph reads.
STOCK_KEYS = {'Flows', 'Optimizers', 'SkipOptimizers', 'LayerType'}
STOCK_MODEL_KEYS = {
    'Precision', 'Strategy', 'BramFactor', 'TraceOutput', 'BitExact', 'TargetCycles', 'ConvImplementation', 'Compression',
    'PipelineStyle', 'PipelineInterval',
}  # fmt: skip
STOCK_LAYER_KEYS = {'Precision', 'Strategy', 'TargetCycles', 'ConvImplementation', 'Compression'}

CONFIG_KEYS = {
    'part': 'Part', 'clock_period': 'ClockPeriod', 'clock_uncertainty': 'ClockUncertainty', 'io_type': 'IOType',
    'project_name': 'ProjectName', 'version': 'Version',
}  # fmt: skip
"""Arguments, and what they are in the configuration of an hls4ml project."""


def check_config(config: dict, tolerated=frozenset()):
    """Checks the configuration of an hls4ml project, which may come from hls4ml's own functions or its command.

    Args:
        config: ``hls_model.config.config``.
        tolerated: Keys of layers that hls4ml's ``config_from_keras_model`` writes besides :data:`STOCK_LAYER_KEYS`.

    Raises:
        ConversionError: naming the first setting that can't be used.
    """
    hls_config = {key: value for key, value in config['HLSConfig'].items() if key not in STOCK_KEYS and value is not None}
    if config['HLSConfig'].get('LayerType'):
        warnings.warn("hls_config: exact layers don't read LayerType. Set them in LayerName or Model", stacklevel=2)
    model, layers = hls_config.get('Model'), hls_config.get('LayerName')
    if isinstance(model, dict):
        hls_config['Model'] = {key: value for key, value in model.items() if key not in STOCK_MODEL_KEYS}
    if isinstance(layers, dict):
        others = STOCK_LAYER_KEYS | set(tolerated) - set(known_layer_keys())
        hls_config['LayerName'] = {
            name: {key: value for key, value in layer.items() if key not in others} if isinstance(layer, dict) else layer
            for name, layer in layers.items()
        }
    given = {name: config.get(key) for name, key in CONFIG_KEYS.items()}
    given['namespace'] = (config.get('WriterConfig') or {}).get('Namespace')
    given = {name: value for name, value in given.items() if value is not None}
    check_arguments(Arguments, {**given, 'hls_config': hls_config})


def known_layer_keys() -> list[str]:
    """The keys of an entry of ``hls_config['LayerName']``."""
    return [field.alias for field in NamedLayer.model_fields.values()]


def check_layer_names(layer_names: dict, read: dict[str, set], layers, tolerated=frozenset()):
    """Refuses settings that nothing would read.

    Args:
        layer_names: ``hls_config['LayerName']``.
        read: Name of each layer that has hardware -> the keys that it reads.
        layers: Names of all layers of the Keras model.
        tolerated: Keys that hls4ml's ``config_from_keras_model`` writes for any layer.

    Raises:
        ConversionError: naming the layer and the key.
    """
    for name, given in layer_names.items():
        name = name.replace('/', '.')
        keys = {key for key, value in given.items() if value is not None and not (key == 'Trace' and value is False)}
        keys -= STOCK_LAYER_KEYS | set(tolerated)
        if name not in read and name not in layers:
            some = difflib.get_close_matches(name, read, 3) or list(read)
            more = ', ...' if len(some) > 20 else ''
            raise ConversionError(
                name, 'hls_config sets it, but the model has no such layer', f'Use one of {", ".join(some[:20])}{more}'
            )
        unread = sorted(keys - read.get(name, set()))
        if unread:
            raise ConversionError(name, *_unread(name, unread[0], read))


def _unread(name: str, key: str, read: dict[str, set]) -> tuple[str, str]:
    """Problem and remedy, where a layer does not read a key."""
    readers = [other for other, keys in read.items() if other.startswith(f'{name}.') and key in keys]
    remedy = f'Set it for {", ".join(readers)}' if readers else ''
    if name not in read:
        problem = f'hls_config sets {key}, but it has no hardware of its own: it is a part of another layer, or needs none'
        return problem, remedy or 'Leave it out'
    keys = ', '.join(sorted(read[name])) or 'none'
    return f'hls_config sets {key}, which it does not read', remedy or f'The keys that it reads: {keys}'
