"""How a kernel's products are spread over clock cycles, and where its weights live."""

from __future__ import annotations

import warnings

import numpy as np

from hls4ml_ext.errors import ConversionError

LUTRAM_WORDS = 64
"""A ROM of at most this many words goes to LUTs (a LUT6 stores 64 bits), a deeper one to block RAM."""

CHOICES = {
    'WeightStorage': ('weight_storage', ('auto', 'bram', 'lutram')),
    'MultImpl': ('mult_impl', ('auto', 'dsp', 'lut')),
}
"""Keys of ``hls_config``: the node's attribute, and the values that it may have."""


def divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]


def foldings(n_in: int, n_out: int) -> dict[int, tuple[int, int]]:
    """All valid reuse factors of an ``n_in`` x ``n_out`` matrix, each with its ``(fold_in, fold_out)``.

    Outputs are folded first: it needs no multiplexer in front of the multipliers and no accumulator.
    """
    result = {}
    for fold_in in divisors(n_in):
        for fold_out in divisors(n_out):
            reuse = fold_in * fold_out
            if reuse not in result or fold_out > result[reuse][1]:
                result[reuse] = (fold_in, fold_out)
    return result


def choose_folding(graph, name: str, n_in: int, n_out: int) -> tuple[int, int]:
    """``(fold_in, fold_out)`` for the layer's configured ReuseFactor, or for the nearest smaller valid one.

    As stock hls4ml does, a ReuseFactor that doesn't divide the layer is changed; it affects speed and area, never a result.
    A warning says so if it was set for this very layer.

    Raises:
        ConversionError: if the ReuseFactor isn't a positive integer.
    """
    reuse, by_name = graph.config_value(name, 'ReuseFactor', 1)
    if not isinstance(reuse, (int, np.integer)) or isinstance(reuse, bool) or reuse < 1:
        raise ConversionError(name, f'ReuseFactor is {reuse!r}', 'Set it to a positive integer')
    valid = foldings(n_in, n_out)
    if reuse not in valid:
        nearest = max(r for r in valid if r < reuse)
        if by_name:
            some = ', '.join(map(str, sorted(valid)[:24])) + (', ...' if len(valid) > 24 else '')
            warnings.warn(
                f"layer '{name}': ReuseFactor {reuse} is not possible, using {nearest}. Possible: {some}", stacklevel=2
            )
        reuse = nearest
    return valid[reuse]


def weight_attributes(graph, name: str) -> dict[str, str]:
    """The validated ``WeightStorage`` (auto, bram, lutram) and ``MultImpl`` (auto, dsp, lut) of a layer."""
    chosen = {}
    for key, (attribute, allowed) in CHOICES.items():
        value, _ = graph.config_value(name, key, 'auto')
        if value not in allowed:
            raise ConversionError(name, f'{key} is {value!r}', f'Use one of {", ".join(allowed)}')
        chosen[attribute] = value
    return chosen


def weight_settings(node) -> dict:
    """The keys of ``hls_config`` of a node that has weights, with the values that it was given."""
    chosen = {key: node.get_attr(attribute, 'auto') for key, (attribute, _) in CHOICES.items()}
    return {'ReuseFactor': node.reuse, **chosen}


def storage_pragmas(node, words: dict[str, int]) -> list[str]:
    """The pragmas that bind a node's weight ROMs: name -> words. A single word becomes wires, and needs none."""
    chosen = node.get_attr('weight_storage', 'auto')
    lines = []
    for name, n in words.items():
        if n > 1:
            impl = chosen if chosen != 'auto' else 'lutram' if n <= LUTRAM_WORDS else 'bram'
            lines.append(f'#pragma HLS BIND_STORAGE variable={node.weights[name].name} type=rom_1p impl={impl}')
    return lines
