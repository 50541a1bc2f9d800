"""What FPGAs have: one file for each board, ``NAME.yml``."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, PositiveInt

from hls4ml_ext.errors import ExtError

DIRECTORY = Path(__file__).parent

ALIASES = {'ulx3s': 'ulx3s-85f'}
"""Other names of devices."""

RESOURCES = ('LUT', 'FF', 'DSP', 'BRAM_18K', 'URAM')
"""What is counted of an FPGA, in the names of hls4ml's reports. A block RAM of 36 Kbit is two BRAM_18K."""

BRAM_BITS, URAM_BITS = 36 * 1024, 288 * 1024
"""Bits of one block of block RAM and of UltraRAM (UltraScale Architecture Memory Resources, UG573)."""


class Device(BaseModel):
    """An FPGA on a board.

    Attributes:
        part: The vendor's name of the FPGA, as its tools want it.
        board: Name of the board.
        bram_36k: Blocks of block RAM. A bitstream can fill them: they and LUTs hold weights.
        uram: Blocks of UltraRAM; 0 if there is none. A bitstream can't fill them: they hold states and feature maps.
        dsp, lut, ff: Multipliers, look-up tables, flip-flops.
    """

    model_config = ConfigDict(extra='forbid', frozen=True)

    part: str
    board: str
    bram_36k: PositiveInt
    uram: int
    dsp: PositiveInt
    lut: PositiveInt
    ff: PositiveInt

    @property
    def resources(self) -> dict[str, int]:
        """How many it has of each of :data:`RESOURCES`."""
        return dict(zip(RESOURCES, (self.lut, self.ff, self.dsp, 2 * self.bram_36k, self.uram)))

    @property
    def bram_bits(self) -> int:
        """Bits of all block RAM."""
        return self.bram_36k * BRAM_BITS

    @property
    def uram_bits(self) -> int:
        """Bits of all UltraRAM."""
        return self.uram * URAM_BITS


def device_names() -> list[str]:
    """The devices that :func:`load_device` knows."""
    return sorted(path.stem for path in DIRECTORY.glob('*.yml'))


def load_device(name: str) -> Device:
    """A device by its name, such as 'zcu104', however it is capitalised.

    Raises:
        ExtError: if there is none of that name.
    """
    given, name = name, ALIASES.get(str(name).lower(), str(name).lower())
    if name not in device_names():
        raise ExtError(f'device {given!r} is not one of {", ".join(device_names())}')
    return Device.model_validate(yaml.safe_load((DIRECTORY / f'{name}.yml').read_text()))


def device_of_part(part: str) -> Device | None:
    """The board whose FPGA is `part`, whatever its speed and its temperature grade; None if no file has it.

    Example::

        device_of_part('xczu7ev-ffvc1156-2-e').board  # 'ZCU104'
    """

    def chip(name):
        fields = name.lower().split('-')
        if fields[0].startswith('xc7'):  # the package stands behind the chip without a hyphen
            return re.match(r'xc7[a-z]\d+t?', fields[0])[0]
        return '-'.join(fields[: 2 if fields[0].startswith('lfe5') else 1])  # Lattice has the size in a field of its own

    return next((d for d in map(load_device, device_names()) if chip(d.part) == chip(part)), None)
