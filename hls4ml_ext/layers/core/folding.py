"""How a node's products are spread over clock cycles: SIMD inputs and PE outputs of a matrix in a cycle."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hls4ml_ext.errors import ConversionError

CHOICES = {
    'WeightStorage': ('weight_storage', ('auto', 'bram', 'lutram')),
    'MultImpl': ('mult_impl', ('auto', 'dsp', 'lut')),
}
"""Keys of ``hls_config``: the node's attribute, and the values that it may have."""


MAX_BEAT_BITS = 4096
"""Widest beat that Vitis HLS makes of a struct (HLS 214-256)."""


@dataclass(frozen=True)
class Folding:
    """SIMD inputs times PE outputs in a cycle.

    Args:
        simd: Inputs multiplied in a cycle.
        pe: Outputs computed at a time.
        reuse: Cycles for one pixel, ``(n_in / simd) * (n_out / pe)``.
    """

    simd: int
    pe: int
    reuse: int


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def foldings(simds: dict[int, int], pes: dict[int, int]) -> list[Folding]:
    """All combinations.

    Args:
        simds, pes: Each possible SIMD or PE -> into how many slices it cuts the inputs or outputs.
    """
    return [Folding(s, p, a * b) for s, a in simds.items() for p, b in pes.items()]


def slices(n: int) -> dict[int, int]:
    """Each divisor of n -> the slices of that size."""
    return {d: n // d for d in divisors(n)}


def widest_beat(width_in: int, width_out: int) -> Callable[[Folding], int]:
    """A function that gives the bits of the widest beat of a folding: SIMD inputs come in one, PE outputs go out.

    Args:
        width_in, width_out: Bits of an input and of an unrounded output.
    """
    return lambda folding: max(folding.simd * width_in, folding.pe * width_out)


def choose_folding(graph, name: str, possible: list[Folding], widest: Callable[[Folding], int]) -> Folding:
    """The folding of a layer: its configured SIMD and PE, else what its ReuseFactor allows with the narrowest streams.

    As stock hls4ml does, a ReuseFactor that doesn't divide the layer is replaced by the nearest smaller one; it affects
    speed and area, never a result. A warning says so if it was set for this very layer.

    Args:
        graph: The :class:`~hls4ml_ext.layers.core.GraphBuilder`.
        name: Name of the layer.
        possible: What the layer can do.
        widest: The bits of a folding's widest beat, which stays below :data:`MAX_BEAT_BITS` if PE and SIMD allow it.

    Raises:
        ConversionError: if SIMD, PE or ReuseFactor is not a positive integer, or SIMD or PE doesn't divide the layer.
    """
    simd, _ = _setting(graph, name, 'SIMD')
    pe, _ = _setting(graph, name, 'PE')
    reuse, by_name = _setting(graph, name, 'ReuseFactor', 1)
    narrow = [f for f in possible if widest(f) <= MAX_BEAT_BITS]
    if simd is None and pe is None and narrow:
        possible = narrow
    fitting = [f for f in possible if simd in (None, f.simd)]
    if not fitting:
        raise ConversionError(name, f'SIMD is {simd}', f'Use one of {_some({f.simd for f in possible})}')
    known, fitting = fitting, [f for f in fitting if pe in (None, f.pe)]
    if not fitting:
        raise ConversionError(name, f'PE is {pe}', f'Use one of {_some({f.pe for f in known})}')
    reuses = {f.reuse for f in fitting}
    if by_name and simd and pe and reuse not in reuses:
        given = f'ReuseFactor is {reuse}, but SIMD {simd} and PE {pe} take {_some(reuses)} cycles for a pixel'
        raise ConversionError(name, given, 'Leave out ReuseFactor, or SIMD and PE')
    nearest = max((r for r in reuses if r <= reuse), default=min(reuses))
    # A smaller one than there is asks for the fastest.
    if nearest < reuse and by_name and simd is None and pe is None:
        warnings.warn(
            f"layer '{name}': ReuseFactor {reuse} is not possible, using {nearest}. Possible: {_some(reuses)}", stacklevel=2
        )
    # The narrowest streams and the fewest accumulators: the sum of both widths is least where they are alike.
    return min((f for f in fitting if f.reuse == nearest), key=lambda f: (f.simd + f.pe, f.pe))


def _setting(graph, name: str, key: str, default=None):
    value, by_name = graph.config_value(name, key, default)
    if value is not None and (not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1):
        raise ConversionError(name, f'{key} is {value!r}', 'Set it to a positive integer')
    return value, by_name


def _some(numbers) -> str:
    numbers = sorted(numbers)
    return ', '.join(map(str, numbers[:24])) + (', ...' if len(numbers) > 24 else '')


def weight_attributes(graph, name: str) -> dict[str, str]:
    """The validated ``WeightStorage`` (auto, bram, lutram) and ``MultImpl`` (auto, dsp, lut) of a layer."""
    chosen = {}
    for key, (attribute, allowed) in CHOICES.items():
        value, _ = graph.config_value(name, key, 'auto')
        if value not in allowed:
            raise ConversionError(name, f'{key} is {value!r}', f'Use one of {", ".join(allowed)}')
        chosen[attribute] = value
    return chosen


def folding_settings(node) -> dict:
    """The keys of ``hls_config`` of a node with products, with the values that it was given."""
    chosen = {key: node.get_attr(attribute, 'auto') for key, (attribute, _) in CHOICES.items()}
    return {'ReuseFactor': node.reuse, 'SIMD': node.get_attr('simd'), 'PE': node.get_attr('pe'), **chosen}
