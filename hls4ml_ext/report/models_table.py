"""The networks of :mod:`hls4ml_ext.models` side by side: their size, and what they take of a board's memories and DSPs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field

import keras
from rich import box
from rich.table import Table
from rich.text import Text

from hls4ml_ext.conversion import convert
from hls4ml_ext.devices import Device
from hls4ml_ext.errors import ExtError
from hls4ml_ext.layers.core.memory import LUT_WIDTH
from hls4ml_ext.layers.normalization.batchnorm import fold_batchnorm
from hls4ml_ext.models import COMPARISONS, builder
from hls4ml_ext.models.knobs import Quantizers
from hls4ml_ext.report.complexity import Complexity, complexity
from hls4ml_ext.report.facts import layer_facts, totals
from hls4ml_ext.report.tables import short

REFERENCES = {'resnet50': 'ResNet-50', 'botnet50': 'BoTNet-50'}
"""Builders of the networks with which all others are compared, and their names."""

PATCH = 16
"""Images of the Vision Transformer are multiples of it."""


@dataclass(frozen=True)
class Candidate:
    """A network to be built.

    Attributes:
        label: Its name in the table.
        builder: Its key in :data:`hls4ml_ext.models.BUILDERS` or :data:`~hls4ml_ext.models.COMPARISONS`.
        size: Height and width of its images, which have 3 channels.
        knobs: Of the builder.
    """

    label: str
    builder: str
    size: int
    knobs: dict = field(default_factory=dict)

    @property
    def quantization(self):
        """Its bit widths: the default ones; None for floating point."""
        return None if self.builder in COMPARISONS else builder(self.builder).DEFAULT_BITS

    def measure(self, n_classes: int, reuse_factor: int, device: Device) -> Measured:
        """Builds it and counts; one that is quantized is converted, and its hardware is counted too.

        Args:
            n_classes: Number of classes.
            reuse_factor: ReuseFactor of each layer.
            device: The FPGA to convert for.
        """
        shape, biases = (self.size, self.size, 3), Quantizers(self.quantization).biases
        model = builder(self.builder).build(shape, n_classes, self.quantization, **self.knobs)
        size = complexity(model, biases)
        if self.quantization is None or not can_convert():
            return Measured(size)
        with tempfile.TemporaryDirectory() as unwritten:
            hls_model = convert(
                fold_batchnorm(model, biases),
                output_dir=unwritten,
                part=device.part,
                hls_config={'Model': {'ReuseFactor': reuse_factor}},
            )
        return Measured(size, totals(layer_facts(hls_model)))


@dataclass(frozen=True)
class Measured:
    """What a network takes.

    Attributes:
        size: Its parameters, multiply-accumulates and bits.
        hardware: The converted network, from :func:`hls4ml_ext.report.facts.totals`; None if it can't be converted.
    """

    size: Complexity
    hardware: dict | None = None


def can_convert() -> bool:
    """Whether Keras runs on the backend that conversion needs."""
    return keras.backend.backend() == 'tensorflow'


def candidates(size: int) -> list[Candidate]:
    """All networks, small ones first.

    A preset that is named after a size, such as '32x32-small', is built for images of that size.

    Args:
        size: Height and width of the images of all other networks.

    Raises:
        ExtError: if the Vision Transformer can't cut images of this size.
    """
    if size % PATCH:
        raise ExtError(
            f'size {size}: a Vision Transformer cuts images into patches of {PATCH}x{PATCH}. Use multiples of {PATCH}'
        )
    found = []
    for preset in builder('ode_mhsa').PRESETS:
        knobs, own = {'preset': preset}, _size_of(preset, size)
        found += [
            Candidate(f'ode_mhsa {preset}', 'ode_mhsa', own, knobs),
            Candidate('  without attention', 'odenet', own, knobs),
            Candidate('  without sharing', 'ode_mhsa', own, {**knobs, 'shared': False}),
        ]
    for preset in builder('resnet').PRESETS:
        found.append(Candidate(f'resnet {preset}', 'resnet', _size_of(preset, size), {'preset': preset}))
    found.append(Candidate('vit tiny-16', 'vit', size, {'preset': 'tiny-16'}))
    return found + [Candidate(name, key, size) for key, name in REFERENCES.items()]


def _size_of(preset: str, otherwise: int) -> int:
    """'32x32-small' -> 32."""
    first = preset.split('x')[0]
    return int(first) if first.isdecimal() else otherwise


def models_table(rows: list[tuple[Candidate, Measured]], device: Device) -> Table:
    """A row for each network, in 100 columns.

    Args:
        rows: Networks and what they take; the :data:`REFERENCES` are among them.
        device: The board that they are to fit on.
    """
    sizes = {candidate.builder: measured.size for candidate, measured in rows}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    table.add_column('model', no_wrap=True)
    fewer = [f'less than\n{name}' for name in REFERENCES.values()]
    for header in ('\nparameters', '\nMACs', '\nMbit', 'of all\nBRAM', '\nBRAM', '\nURAM', '\nDSP', *fewer):
        table.add_column(header, justify='right', no_wrap=True)
    for candidate, measured in rows:
        size = measured.size
        table.add_row(
            candidate.label if candidate.quantization else f'{candidate.label} (float)',
            f'{size.parameters:,}',
            short(size.macs),
            f'{size.megabits:.3g}' if size.megabits >= 1 else f'{size.megabits:.3f}',
            _share(size.bram_share(device)),
            *_blocks(measured.hardware, device),
            *(_reduction(size.reduction(sizes[key])) for key in REFERENCES),
            style='dim' if candidate.label.startswith(' ') else '',
        )
    return table


def _blocks(hardware: dict | None, device: Device) -> list[Text]:
    """Block RAMs, UltraRAMs and DSPs, red where the device has fewer; nothing for a network that can't be converted."""
    if hardware is None:
        return [Text()] * 3
    counts = (hardware['bram_18k'] / 2, device.bram_36k), (hardware['uram'], device.uram), (hardware['dsp'], device.dsp)
    return [Text(f'{count:,g}', style='' if count <= have else 'red') for count, have in counts]


def explanation(device: Device, size: int, reuse_factor: int) -> str:
    """What the columns of the table are.

    Args:
        device: The board.
        size: Height and width of the images of the networks whose name says none.
        reuse_factor: With which they were converted.
    """
    lines = [
        'Images have 3 channels and, where the name does not say it, {0}x{0} pixels.',
        'parameters: trainable ones. MACs: multiply-accumulates for an image. Mbit: of all weights, each of',
        '{1} bits unless (float), and biases, batch normalization folded. of all BRAM: what these take of the',
        '{2}, at best. It has {3:,} block RAMs ({4:.1f} Mbit), {5:,} UltraRAMs and {6:,} DSPs; a bitstream',
        'can not initialise UltraRAM.',
    ]
    facts = size, builder('ode_mhsa').DEFAULT_BITS.weights, device.board, device.bram_36k, device.bram_bits / 1e6
    lines = [line.format(*facts, device.uram, device.dsp) for line in lines]
    if can_convert():
        lines += [
            'BRAM, URAM, DSP: those of the converted network, feature maps included, each layer with the reuse',
            f'factor {reuse_factor:,}. Products with a factor of at most {LUT_WIDTH} bits are made of LUTs.',
        ]
    else:
        lines.append('BRAM, URAM, DSP: counted on the TensorFlow backend, which conversion needs.')
    return '\n'.join(lines)


def _share(share: float) -> Text:
    return Text(f'{share:.1%}' if share < 10 else f'{share:,.0%}', style='green' if share <= 1 else 'red')


def _reduction(share: float) -> str:
    return '' if share == 0 else f'{share:.2%}'
