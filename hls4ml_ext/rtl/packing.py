"""Tensors as the beats of a stream, and back."""

from __future__ import annotations

import numpy as np

from hls4ml_ext.fixed import FixedType, stored_integers


def beat_bytes(width: int) -> int:
    """Bytes of a beat in a Verilator model: the integer that it is kept in, or words of 32 bits."""
    return next((n for n in (1, 2, 4, 8) if width <= 8 * n), 4 * -(-width // 32))


def pack(values: np.ndarray, t: FixedType, lanes: int) -> np.ndarray:
    """Numbers of type `t` as beats, lane 0 in the low bits.

    Args:
        values: Their last axis is the channels.

    Returns:
        (beats, bytes) uint8.
    """
    stored = stored_integers(values, t.frac).reshape(-1, lanes)
    bits = stored[:, :, None] >> np.arange(t.width) & 1
    packed = np.packbits(bits.astype(np.uint8).reshape(len(stored), -1), axis=1, bitorder='little')
    beats = np.zeros((len(stored), beat_bytes(lanes * t.width)), np.uint8)
    beats[:, : packed.shape[1]] = packed
    return beats


def unpack(beats: np.ndarray, t: FixedType, lanes: int) -> np.ndarray:
    """The numbers of :func:`pack`, (beats, lanes) float64."""
    bits = np.unpackbits(np.ascontiguousarray(beats), axis=1, bitorder='little')[:, : lanes * t.width]
    bits = bits.reshape(len(beats), lanes, t.width).astype(np.int64)
    weights = np.int64(1) << np.arange(t.width, dtype=np.int64)
    if t.signed:
        weights[-1] = -weights[-1]
    return (bits @ weights) * 2.0**-t.frac
