"""The networks of :mod:`hls4ml_ext.models` side by side: their size, and what of a board's block RAM their weights take."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich import box
from rich.table import Table
from rich.text import Text

from hls4ml_ext.devices import Device
from hls4ml_ext.errors import ExtError
from hls4ml_ext.models import COMPARISONS, builder
from hls4ml_ext.models.knobs import Quantizers
from hls4ml_ext.report.complexity import FLOAT_BITS, Complexity, complexity
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

    def measure(self, n_classes: int) -> Complexity:
        """Builds it, and counts."""
        shape = (self.size, self.size, 3)
        model = builder(self.builder).build(shape, n_classes, self.quantization, **self.knobs)
        return complexity(model, Quantizers(self.quantization).biases)


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


def models_table(rows: list[tuple[Candidate, Complexity]], device: Device) -> Table:
    """A row for each network, in 100 columns.

    Args:
        rows: Networks with their size; the :data:`REFERENCES` are among them.
        device: Its block RAM is what weights are to fit into.
    """
    sizes = {candidate.builder: size for candidate, size in rows}
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column('model', no_wrap=True)
    fewer = [f'fewer than\n{name}' for name in REFERENCES.values()]
    for header in ('input', 'parameters', 'MACs', 'bits', 'Mbit', f'{device.board}\nBRAM', *fewer):
        table.add_column(header, justify='right', no_wrap=True)
    for candidate, size in rows:
        table.add_row(
            candidate.label,
            f'{candidate.size}x{candidate.size}',
            f'{size.parameters:,}',
            short(size.macs),
            str(candidate.quantization.weights if candidate.quantization else FLOAT_BITS),
            f'{size.megabits:.3g}',
            _share(size.bram_share(device)),
            *(_reduction(size.reduction(sizes[key])) for key in REFERENCES),
            style='dim' if candidate.label.startswith(' ') else '',
        )
    return table


def explanation(device: Device) -> str:
    """What the columns of the table are."""
    bram = f'{device.bram_bits / 1e6:.1f} Mbit'
    return (
        'Images have 3 channels. parameters: trainable ones. MACs: multiply-accumulates for an image.\n'
        'bits: of a weight. Mbit: of all weights and biases, batch normalization folded.\n'
        f'BRAM: what they take of the {bram} of the {device.board}, at best. Its UltraRAM is for feature maps:\n'
        'a bitstream can not initialise it.'
    )


def _share(share: float) -> Text:
    return Text(f'{share:.1%}' if share < 10 else f'{share:,.0%}', style='green' if share <= 1 else 'red')


def _reduction(share: float) -> str:
    return '' if share == 0 else f'{share:.2%}'
