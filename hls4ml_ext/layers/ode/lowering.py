"""Lowering of the Neural-ODE block."""

from __future__ import annotations

import numpy as np

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError
from hls4ml_ext.fixed import FixedType, Range, fraction_bits, stored_integers
from hls4ml_ext.layers.core.subgraph import SubGraph
from hls4ml_ext.layers.ode.node import STORAGE, ExactODEBlock


def lower_ode_block(layer, inputs, graph) -> str:
    name, shape = graph.name(layer), graph.shape(inputs[0])
    if layer.state_quantizer is None:
        raise ConversionError(name, 'it has no state_quantizer', "Give it one, such as 'quantized_bits(12,3,alpha=1)'")
    state = quantizers.activation_type(layer.state_quantizer, name)
    storage, _ = graph.config_value(name, 'StateStorage', 'auto')
    if storage not in STORAGE:
        raise ConversionError(name, f'StateStorage is {storage!r}', f'Use one of {", ".join(STORAGE)}')

    start = inputs[0]
    if not _same_numbers(graph.maybe_type(start), state):
        start = graph.quantize(start, layer.state_quantizer, graph.name(layer, 'start'), graph.only_consumer(layer))

    dynamics = SubGraph.build(graph, layer.dynamics, name, [state])
    slope = FixedType.from_hls4ml(dynamics.output.type.precision)
    if list(dynamics.output.shape) != list(shape):
        raise ConversionError(
            name, f'its dynamics gives shape {tuple(dynamics.output.shape)}, the state has {tuple(shape)}', 'Make them equal'
        )

    coefficients, frac = stored_coefficients(layer, name)
    sums = update_range(state, slope, coefficients, frac)
    graph.check_float(name, sums, layer.compute_dtype, 'the update z + h*sum(b*k)')
    times = []
    if layer.time_channel:
        times = [int(t) for t in stored_integers(layer.times().ravel(), state.frac)]
    # The kernel aligns to the fractional bits of state and product, whether a coefficient needs them or not.
    acc = sums.aligned(max(sums.frac, state.frac, slope.frac + frac))
    return graph.add(
        ExactODEBlock, name, [start], state,
        out_shape=shape, acc_width=acc.signed_bits, dynamics=dynamics, n_steps=layer.n_steps, n_stages=len(coefficients),
        coefficients=coefficients, coefficient_frac=frac, times=times,
        time_channel=layer.time_channel, state_type=str(state), state_storage=storage,
    )  # fmt: skip


def stored_coefficients(layer, name: str) -> tuple[list[list[int]], int]:
    """The tableau of a block as stored integers.

    Returns:
        n_stages rows of n_stages coefficients, h * a without its first row and then h * b; and their fractional bits.

    Raises:
        ConversionError: if a coefficient needs too many bits.
    """
    a, b = layer.tableau()
    n = len(b)
    rows = np.zeros((n, n))
    for i, row in enumerate(a[1:]):
        rows[i, : len(row)] = row
    rows[n - 1] = b
    frac = coefficient_frac(rows, name, layer.coefficient_bits)
    return [[int(x) for x in row] for row in stored_integers(rows, frac)], int(frac)


def coefficient_frac(rows: np.ndarray, name: str, coefficient_bits: int | None) -> int:
    """The fractional bits with which the kernel stores the coefficients of a solver, as 32-bit integers.

    Raises:
        ConversionError: on coefficients for which 32 bits are not enough.
    """
    coefficients = [float(x) for x in np.abs(rows).ravel() if x]
    largest, smallest = max(coefficients, default=0.0), min(coefficients, default=1.0)
    if largest >= 2.0**31:
        raise ConversionError(name, f'a coefficient of the solver is too large: {largest:.6g}', 'Use a smaller step_size')
    if smallest < 2.0**-30:
        raise ConversionError(name, f'a coefficient of the solver is too small: {smallest:.6g}', 'Use a larger step_size')
    bits = {x: fraction_bits(np.array(x)) for x in coefficients}
    finest = max(bits, key=bits.get, default=0.0)
    frac = max(bits.get(finest, 0), 0)
    if frac > 30 or largest * 2.0**frac >= 2.0**31:
        fewer = 'Set coefficient_bits, for instance to 8' if coefficient_bits is None else 'Use fewer coefficient_bits'
        beside = f' beside {largest:.6g}' if frac <= 30 else ''
        problem = f'a coefficient of the solver is too fine: {finest:.6g} needs {frac} fractional bits{beside}'
        raise ConversionError(name, problem, fewer)
    return frac


def update_range(state: FixedType, slope: FixedType, coefficients: list[list[int]], frac: int) -> Range:
    """What the state plus any of the combinations of slopes can be, and every partial sum of these."""
    sums = state.range
    for row in coefficients:
        total = state.range
        for x in row:
            if x:
                total = total + slope.range * Range(min(x, 0), max(x, 0), frac)
        sums = sums | total
    return sums


def _same_numbers(a: FixedType | None, b: FixedType) -> bool:
    """Does rounding a tensor of type a to type b change nothing, not even its layout?"""
    return a is not None and (a.width, a.integer, a.signed) == (b.width, b.integer, b.signed) and a.lo >= b.lo
