"""What all builders share: validated knobs with presets, and the quantizers of a model."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(strict=True, ge=1)]
"""A positive integer."""

MAX_CHANNELS = 4096

Channels = Annotated[int, Field(strict=True, ge=1, le=MAX_CHANNELS)]
"""A number of channels: more do not fit any FPGA, and their weights do not fit the memory of most machines."""

Repeats = Annotated[int, Field(strict=True, ge=1, le=256)]
"""A number of steps or of blocks: Keras computes one after the other."""


class Section(BaseModel):
    """A group of knobs: unknown keys are refused."""

    model_config = ConfigDict(extra='forbid', frozen=True)


class PresetKnobs(Section):
    """Knobs that start from a preset: ``preset: NAME`` fills in what is not given, group by group."""

    presets: ClassVar[dict[str, dict]] = {}
    preset: str | None = None

    @model_validator(mode='before')
    @classmethod
    def _fill_in(cls, values):
        if not isinstance(values, dict) or values.get('preset') is None:
            return values
        name = values['preset']
        if name not in cls.presets:
            raise ValueError(f'preset: {name!r} is not one of {", ".join(cls.presets)}')
        return merge(cls.presets[name], values)


def merge(base: dict, over: dict) -> dict:
    """`base` with the values of `over`, also within the dicts that both have."""
    both = {key for key, value in over.items() if isinstance(value, dict) and isinstance(base.get(key), dict)}
    return {**base, **over, **{key: merge(base[key], over[key]) for key in both}}


class Quantization(Section):
    """Bit widths of a model.

    Attributes:
        weights: Of kernels and position tables; the binary point is chosen for each layer.
        activations: Of everything between two layers.
        state: Of the state of an ODE block.
        biases: Of biases after batch normalization is folded.
        input: Of the images, which lie between -1 and 1.
    """

    weights: Annotated[int, Field(strict=True, ge=2, le=12)] = 4
    activations: Annotated[int, Field(strict=True, ge=3, le=12)] = 8
    state: Annotated[int, Field(strict=True, ge=4, le=16)] = 12
    biases: Annotated[int, Field(strict=True, ge=4, le=16)] = 12
    input: Annotated[int, Field(strict=True, ge=2, le=12)] = 8


class Quantizers:
    """The quantizers of a model, by what they are for.

    Args:
        bits: The bit widths; None builds the same model in floating point, for pre-training.
    """

    def __init__(self, bits: Quantization | None):
        self.bits = bits

    @property
    def weights(self) -> str | None:
        return self.bits and signed(self.bits.weights, 0)

    @property
    def biases(self) -> str | None:
        return self.bits and signed(self.bits.biases, 4)

    @property
    def state(self) -> str | None:
        return self.bits and signed(self.bits.state, 3)

    def activation(self, integer: int = 2) -> str | None:
        """Signed, up to 2**integer."""
        return self.bits and signed(self.bits.activations, integer)

    def relu(self, integer: int = 2) -> str | None:
        """Unsigned, up to 2**integer."""
        return self.bits and f'quantized_relu({self.bits.activations},{integer})'

    def activation_layer(self, name: str, integer: int = 2, relu: bool = False):
        """A layer that rounds, and rectifies if `relu`."""
        import keras
        from qkeras import QActivation

        if self.bits is None:
            return keras.layers.Activation('relu' if relu else 'linear', name=name)
        return QActivation(self.relu(integer) if relu else self.activation(integer), name=name)

    def input_layer(self, name: str):
        """A layer that rounds the images."""
        import keras
        from qkeras import QActivation

        if self.bits is None:
            return keras.layers.Activation('linear', name=name)
        return QActivation(signed(self.bits.input, 0), name=name)

    def mean(self, n_pixels: int) -> str | None:
        """The quantizer of 1 / n_pixels, with as many bits as a weight of 8."""
        return self.bits and signed(8, 1 - (n_pixels - 1).bit_length())


def signed(bits: int, integer: int) -> str:
    """QKeras's name of a signed fixed-point type: `bits` with the sign, `integer` of them left of the point besides it."""
    return f'quantized_bits({bits},{integer},alpha=1)'
