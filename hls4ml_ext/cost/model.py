"""From the structure of an engine to its resources."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from hls4ml_ext.cost.memories import map_memory
from hls4ml_ext.cost.structure import Structure, bits_for, distinct

FACTORS = {'xcup': (27, 18), 'xcu': (27, 18), 'xc7': (25, 18), 'ecp5': (18, 18)}
"""Family -> bits of the signed factors of a multiplier."""

SHIFT_REGISTER = 3
"""Cycles from which on a delay line becomes shift-register LUTs, where there are any."""

ROM_INPUTS = {'xilinx': (6, 8), 'ecp5': (4, 7)}
"""Inputs of a LUT, and of LUTs with the multiplexers behind them (UG574: F7, F8; ECP5: PFUMX, L6MUX21)."""

JOINED_BY_LUTS = 1.25
"""What LUTs that join them add; from ROMs of 384 to 1,024 random words alone: 1.13 to 1.36."""

LATE_WRITES = ('ecp5',)
"""Families whose block RAMs don't give the old word when an address is written and read at once: Yosys writes a cycle later,
and keeps the word for whom reads it meanwhile."""


@dataclass(frozen=True)
class Quantities:
    """What the cost of a module is computed from.

    Attributes:
        features: Feature -> how much of it.
        exact: LUTRAM, DSP, BRAM_18K, URAM -> how many.
    """

    features: Counter
    exact: Counter


def rom_luts(words: int, family: str) -> float:
    """LUTs for a bit of a ROM in logic, of random words.

    Few of them are joined by a family's own multiplexers behind LUTs, more by further LUTs.
    """
    inputs, joined = ROM_INPUTS['ecp5' if family == 'ecp5' else 'xilinx']
    if words <= 1 << joined:
        return 1 << max(bits_for(words) - inputs, 0)
    return JOINED_BY_LUTS * words / (1 << inputs)


def mux_luts(numbers: int, family: str) -> int:
    """LUTs for a bit that is chosen of so many."""
    return numbers - 1 if family == 'ecp5' or numbers == 1 else -(-numbers // 4)


def quantities(structure: Structure, family: str) -> Quantities:
    """The features of a module in a family, and what follows by rules; without its parts."""
    features, exact = Counter(structure.features), Counter()
    for memory in structure.memories:
        mapped = map_memory(memory, family)
        exact.update(dict(mapped.resources))
        if mapped.style == 'distributed':
            features['registers'] += memory.width
            features['memory mux bits'] += (mapped.pieces - 1) * memory.width
            features['memory pieces'] += mapped.pieces - 1
        elif mapped.style == 'logic' and memory.kind == 'rom':
            different = distinct(memory.width, memory.words)
            name = 'rom luts' if memory.words > 4 else 'small rom bits'  # of which many are registers with a reset
            features[name] += different * rom_luts(memory.words, family)
            features['registers'] += different
        elif mapped.style == 'logic':
            features['register file bits'] += memory.words * memory.width
            features['registers'] += (memory.words + 1) * memory.width
        elif mapped.style in ('block', 'ultra'):
            features['block mux bits'] += mux_luts(mapped.pieces, family) * memory.width
            features['registers'] += bits_for(mapped.pieces)
            if memory.kind == 'ram' and family in LATE_WRITES:
                features['late write bits'] += memory.width
                features['late write registers'] += 2 * memory.width + bits_for(memory.words) + 2
    for bits, cycles in structure.delays:
        if family == 'ecp5' or cycles < SHIFT_REGISTER:
            features['registers'] += bits * cycles
        else:
            exact['LUTRAM'] += bits * -(-cycles // 32)
    wide, narrow = FACTORS[family]
    for count, widths in structure.products:
        small, large = sorted(widths)
        exact['DSP'] += count * -(-large // wide) * -(-small // narrow)
    return Quantities(Counter({k: v for k, v in features.items() if v}), exact)
