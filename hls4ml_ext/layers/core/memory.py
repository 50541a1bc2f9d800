"""The memories of a node: how many words of how many bits, and in which kind of storage of an FPGA they belong."""

from __future__ import annotations

from dataclasses import dataclass

LUTRAM_WORDS = 64
"""A memory of at most this many words goes to LUTs (a LUT6 stores 64 bits), a deeper one to block RAM."""

URAM_WORDS = 2048
"""From this many words on a memory fills UltraRAM (4,096 words of 72 bits) well enough."""

LUT_WIDTH = 4
"""Bits of a factor up to which a product is cheaper in LUTs than in a DSP slice."""

BRAM18_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
"""(words, bits) of an 18 Kbit block RAM with one read and one write port (UltraScale Architecture Memory Resources, UG573);
two of them are one block of 36 Kbit, 512 x 72 to 32K x 1."""

URAM_SHAPE = (4096, 72)
"""(words, bits) of a block of UltraRAM (UG573)."""


@dataclass(frozen=True)
class Memory:
    """One memory of a node, read once and written at most once a cycle. A word holds `lanes` integers.

    Args:
        name: What the node calls it; a ROM has the name of the node's weights.
        words: Number of words.
        lanes: Integers in a word.
        width: Bits of an integer.
        kind: 'rom' (filled by the bitstream) or 'ram'.
        signed: Whether the integers are.
        storage: 'auto', or a kind of storage that the user chose: 'lutram', 'bram', 'uram'.
        banks: Memories of this shape, each with ports of its own; those of a ROM are copies.
    """

    name: str
    words: int
    lanes: int
    width: int
    kind: str = 'ram'
    signed: bool = True
    storage: str = 'auto'
    banks: int = 1

    @property
    def word_bits(self) -> int:
        return self.lanes * self.width

    @property
    def bits(self) -> int:
        return self.banks * self.words * self.word_bits

    @property
    def impl(self) -> str:
        """Where it lives: 'wires' (a constant), 'registers', 'lutram', 'bram' or 'uram'."""
        if self.words == 1:
            return 'wires' if self.kind == 'rom' else 'registers'
        if self.storage != 'auto':
            return self.storage
        if self.words <= LUTRAM_WORDS:
            return 'lutram'
        return 'uram' if self.kind == 'ram' and self.words >= URAM_WORDS else 'bram'

    @property
    def bram18(self) -> int:
        """Block RAMs of 18 Kbit, in the shape that takes the fewest."""
        if self.impl != 'bram':
            return 0
        return self.banks * min(-(-self.word_bits // bits) * -(-self.words // words) for words, bits in BRAM18_SHAPES)

    @property
    def uram(self) -> int:
        """Blocks of UltraRAM."""
        words, bits = URAM_SHAPE
        return self.banks * -(-self.word_bits // bits) * -(-self.words // words) if self.impl == 'uram' else 0


@dataclass(frozen=True)
class Products:
    """Multipliers of a node.

    Args:
        count: Products in a cycle.
        widths: Bits of both factors.
        impl: 'dsp', 'lut' or 'auto': a factor of at most :data:`LUT_WIDTH` bits belongs in LUTs, wider products in DSPs.
    """

    count: int
    widths: tuple[int, int]
    impl: str = 'auto'

    @property
    def uses_dsp(self) -> bool:
        return self.impl == 'dsp' or (self.impl == 'auto' and min(self.widths) > LUT_WIDTH)

    @property
    def dsp(self) -> int:
        """DSP48E2 slices: one for a product of 27 x 18 signed bits (UltraScale Architecture DSP Slice, UG579)."""
        small, large = sorted(self.widths)
        return self.count * -(-large // 27) * -(-small // 18) if self.uses_dsp else 0
