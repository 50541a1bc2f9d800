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
            inputs = min(bits_for(memory.words), 6)  # a function of few inputs of the address is a LUT, of more several
            features[f'rom bits of {inputs} inputs' if inputs > 4 else 'rom bits'] += different * -(-memory.words // 64)
            features['registers'] += different
        elif mapped.style == 'logic':
            features['register file bits'] += memory.words * memory.width
            features['registers'] += (memory.words + 1) * memory.width
        elif mapped.style in ('block', 'ultra'):
            features['block mux bits'] += (mapped.pieces - 1) * memory.width
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
