"""What Yosys makes of a memory: LUTs, block RAMs, UltraRAMs.

Its pass ``memory_libmap`` gives each kind of RAM a cost, and takes the cheapest one that the style of a memory allows. A
kind has shapes of 2^abits words of some bits; of a memory with more words, or wider ones, it takes several, and pieces of a
memory that are side by side or one above the other share a RAM where they fit. :func:`map_memory` computes the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

FACTOR_MUX, FACTOR_DEMUX, FACTOR_EMULATION = 0.5, 0.5, 2
"""Costs of the pass: of a bit of a multiplexer behind RAMs, of an enable in front of them, of a point of emulation."""


@dataclass(frozen=True)
class Memory:
    """One memory of an engine, with the register that it is read into.

    Args:
        kind: 'ram', 'rom'; 'line' is a RAM that is read where it is written.
        width: Bits of a word.
        words: Number of words.
        style: 'auto', 'distributed', 'block', 'ultra'.
    """

    kind: str
    width: int
    words: int
    style: str = 'auto'


@dataclass(frozen=True)
class Shape:
    """A kind of RAM.

    Attributes:
        style: Which style asks for it.
        resource: What it is counted as, and how many of them it is.
        abits: Address bits for words of the first of the widths.
        widths: Bits of a word; each has an address bit less than the one before.
        cost: Of one.
        scales: Whether its cost is that of the bits that are used.
        byte: Bits with a write enable of their own; 0 is all.
        points: Of emulation.
        narrowest: Bits of the narrowest word that can be written.
    """

    style: str
    resource: tuple[str, int]
    abits: int
    widths: tuple[int, ...]
    cost: int
    scales: bool = False
    byte: int = 0
    points: int = 1
    narrowest: int = 1


@dataclass(frozen=True)
class Mapped:
    """What a memory becomes.

    Attributes:
        style: 'distributed', 'block', 'ultra', 'logic', or 'constant'.
        resources: LUTRAM, BRAM_18K or URAM -> how many.
        pieces: One above the other, with a multiplexer behind them.
    """

    style: str
    resources: tuple[tuple[str, int], ...] = ()
    pieces: int = 1

    def __getitem__(self, name: str) -> int:
        return dict(self.resources).get(name, 0)


def _xilinx_block(half: int, points: int = 1) -> tuple[Shape, ...]:
    return (
        Shape('block', ('BRAM_18K', 1), 14, (1, 2, 4, 9, 18, 36)[:half], 129, byte=9, points=points),
        Shape('block', ('BRAM_18K', 2), 15, (1, 2, 4, 9, 18, 36, 72)[: half + 1], 257, byte=9, points=points),
    )


ULTRASCALE = (
    Shape('distributed', ('LUTRAM', 8), 6, (7,), 16, True),
    Shape('distributed', ('LUTRAM', 8), 5, (14,), 16, True),
    *_xilinx_block(6),
)
ULTRA = (Shape('ultra', ('URAM', 1), 12, (72,), 1024, byte=8), Shape('ultra', ('URAM', 1), 12, (72,), 1024, byte=9))
SERIES_7 = (
    Shape('distributed', ('LUTRAM', 4), 6, (3,), 8, True),
    Shape('distributed', ('LUTRAM', 4), 5, (6,), 8, True),
    *_xilinx_block(6),
)
ECP5 = (
    Shape('distributed', ('LUTRAM', 4), 4, (4,), 4),
    Shape('block', ('BRAM_18K', 1), 14, (1, 2, 4, 9, 18), 128, byte=9, points=7),
    Shape('block', ('BRAM_18K', 1), 14, (1, 2, 4, 9, 18, 36), 128, byte=9, points=7, narrowest=9),
)
SHAPES = {'xcup': (*ULTRASCALE, *ULTRA), 'xcu': ULTRASCALE, 'xc7': SERIES_7, 'ecp5': ECP5}
"""Family -> its kinds of RAM with a port that writes and one that reads."""

LINES = {
    'xcup': (
        *(Shape('distributed', ('LUTRAM', 8), a, (w,), 16, True, points=0) for a, w in ((5, 16), (6, 8), (7, 4), (8, 2))),
        *_xilinx_block(5, 0),
        *_xilinx_block(6),
        *ULTRA,
    ),
    'ecp5': (ECP5[0], Shape('block', ('BRAM_18K', 1), 14, (1, 2, 4, 9, 18), 128, byte=9, points=0), *ECP5[1:]),
}
"""The same of memories that are read where they are written: one port may do both."""


@cache
def map_memory(memory: Memory, family: str) -> Mapped:
    """What a memory becomes in a family."""
    if memory.kind == 'rom' and memory.words == 1:
        return Mapped('constant')
    style = 'block' if memory.style == 'ultra' and family == 'ecp5' else memory.style
    if memory.kind == 'rom' and style == 'distributed':
        return Mapped('logic')
    best, best_cost = Mapped('logic'), (memory.words * memory.width if style == 'auto' else float('inf'))
    shapes = LINES.get(family, SHAPES[family]) if memory.kind == 'line' else SHAPES[family]
    for shape in shapes:
        if style not in ('auto', shape.style) or (memory.kind == 'rom' and shape.style != 'block'):
            continue
        for i, unit in enumerate(shape.widths):
            if memory.kind != 'rom' and unit < shape.narrowest:
                continue
            pieces = (memory.words - 1) // (1 << (shape.abits - i)) + 1
            byte = 1 if memory.kind == 'rom' else min(shape.byte or unit, unit)
            padded = -(-memory.width // byte) * byte
            number = -(-pieces * padded // unit)
            cost = 0 if shape.scales else shape.cost * number
            cost += shape.cost * pieces * memory.width / unit if shape.scales else 0
            cost += FACTOR_MUX * (pieces - 1) * memory.width + FACTOR_EMULATION * shape.points
            if memory.kind != 'rom' and pieces > 1:
                cost += FACTOR_DEMUX * pieces
            if cost < best_cost:
                name, each = shape.resource
                best, best_cost = Mapped(shape.style, ((name, each * number),), pieces), cost
    return best
