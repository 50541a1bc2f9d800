"""Graph node, template and lowering of the Neural-ODE block."""

from __future__ import annotations

import numpy as np
from hls4ml.model.attributes import Attribute
from hls4ml.model.types import Serializable

from hls4ml_ext import quantizers
from hls4ml_ext.errors import ConversionError
from hls4ml_ext.fixed import FixedType, Range, fraction_bits, stored_integers
from hls4ml_ext.layers.core import ExactConfigTemplate, ExactFunctionTemplate, ExactLayer
from hls4ml_ext.layers.core.latency import dataflow_latency
from hls4ml_ext.layers.core.subgraph import SubGraph
from hls4ml_ext.layers.core.templates import token_type


class ExactODEBlock(ExactLayer):
    """A Neural-ODE block: one node that owns the graph of its dynamics; see ``nnet_ode_ext.h``.

    Attributes:
        dynamics: The :class:`SubGraph` of the dynamics; its layers are named ``'block.layer'``.
        coefficients: n_stages rows of n_stages stored integers: row i combines slopes into the input of stage i + 1, the
            last row into the next state.
        times: Stored integers of the time at each evaluation.
        state_storage: 'uram' or 'bram'.
    """

    kernel = 'ode_block'
    header = 'nnet_utils/nnet_ode_ext.h'
    # The state's own type is its result; a narrower one is rounded to as the state is read out.
    fuses_quantizer = True

    _expected_attributes = [
        Attribute('dynamics', value_type=Serializable),
        Attribute('n_steps', value_type=int),
        Attribute('n_stages', value_type=int),
        Attribute('coefficients', value_type=(list, tuple)),
        Attribute('coefficient_frac', value_type=int),
        Attribute('times', value_type=(list, tuple)),
        Attribute('time_channel', value_type=bool),
        Attribute('state_type', value_type=str),
        Attribute('state_storage', value_type=str),
    ]

    @property
    def dynamics(self):
        """The hls4ml graph of the dynamics."""
        return self.get_attr('dynamics').graph

    @property
    def settings(self):
        return {'StateStorage': self.get_attr('state_storage')}

    def inner_layers(self):
        return [n for n in self.dynamics.get_layers() if isinstance(n, ExactLayer)]

    # What hls4ml's writer asks a layer for, with that of the layers inside.

    def get_weights(self, var_name=None):
        if var_name:
            return self.weights[var_name]
        return [w for node in self.dynamics.get_layers() for w in node.get_weights()]

    def get_layer_precision(self):
        return {**self.get_attr('dynamics').types(), **super().get_layer_precision()}

    # ------------------------------------------------------------------ facts

    @property
    def evaluations(self) -> int:
        """How often the dynamics runs for one image."""
        return self.get_attr('n_steps') * self.get_attr('n_stages')

    @property
    def dynamics_latency(self) -> int:
        """Cycles of one evaluation of the dynamics."""
        return dataflow_latency(self.dynamics)

    @property
    def cycles(self):
        return 2 * self.n_tokens + self.evaluations * (self.dynamics_latency + self.n_tokens)

    @property
    def multipliers(self):
        def is_shift(x):
            return x == 0 or (x & (x - 1)) == 0

        products = sum(
            any(not is_shift(abs(row[j])) for row in self.get_attr('coefficients')) for j in range(self.get_attr('n_stages'))
        )
        return sum(n.multipliers for n in self.inner_layers()) + products * self.get_attr('out_shape')[-1]

    @property
    def macs(self):
        return self.evaluations * sum(n.macs for n in self.inner_layers())

    def last_input_of(self, i: int = 0):
        return np.full(self.n_tokens, self.n_tokens - 1)

    # ------------------------------------------------------------------ C++

    def callee(self, types):
        return f'ode_block{self.index}'

    def call_arguments(self):
        return []


class ODEConfigTemplate(ExactConfigTemplate):
    """The config of an ODE block: those of the layers inside, the dynamics as a function, the solver's numbers."""

    def __init__(self):
        super().__init__(ExactODEBlock)

    def members(self, node):
        sub = node.get_attr('dynamics')
        n_stages = int(node.get_attr('n_stages'))
        return {
            'n_pixels': node.n_tokens,
            'n_chan': int(node.get_attr('out_shape')[-1]),
            'n_steps': int(node.get_attr('n_steps')),
            'n_stages': n_stages,
            'n_earlier': max(n_stages - 1, 1),
            'time_channel': bool(node.get_attr('time_channel')),
            'coefficient_frac': int(node.get_attr('coefficient_frac')),
            'acc_width': int(node.get_attr('acc_width')),
            'state_t': node.get_attr('state_type'),
            'dynamics_in_t': sub.input.type.name,
            'dynamics_out_t': sub.output.type.name,
            'slope_t': f'{sub.output.type.name}::value_type',
        }

    def format(self, node):
        sub = node.get_attr('dynamics')
        header, *members, end = self._struct(node)
        functions = self._coefficient(node) + self._time(node) + self._dynamics(sub)
        lines = sub.configs() + [header, *members, *functions, end] + self._wrapper(node)
        if node.model.config.get_config_value('IOType') == 'io_parallel':
            lines += self._parallel(node)
        return '\n'.join(lines) + '\n'

    def _coefficient(self, node):
        rows = [list(map(int, row)) for row in node.get_attr('coefficients')]
        table = ', '.join('{' + ', '.join(map(str, row)) + '}' for row in rows)
        return [
            '    // h * a and, in the last row, h * b',
            '    static int coefficient(int row, int stage) {',
            '        #pragma HLS INLINE',
            f'        static const int table[n_stages][n_stages] = {{{table}}};',
            '        return table[row][stage];',
            '    }',
        ]

    def _time(self, node):
        times = ', '.join(str(int(t)) for t in node.get_attr('times')) or '0'
        return [
            '    static int time(int evaluation) {',
            '        #pragma HLS INLINE',
            f'        static const int table[n_steps * n_stages] = {{{times}}};',
            '        return table[evaluation];',
            '    }',
        ]

    def _dynamics(self, sub):
        return [
            f'    static void dynamics(hls::stream<{sub.input.type.name}> &{sub.input.name}, '
            f'hls::stream<{sub.output.type.name}> &{sub.output.name}) {{',
            '        #pragma HLS INLINE off',
            '        #pragma HLS DATAFLOW',
            *['        ' + line for line in sub.body()],
            '    }',
        ]

    def _wrapper(self, node):
        """The function that owns the buffers: a pragma can't take the kind of memory from the config."""
        config, storage = f'config{node.index}', node.get_attr('state_storage')
        data, res = (token_type(v) for v in (node.get_input_variable(), node.get_output_variable()))
        lines = [f'inline void ode_block{node.index}(hls::stream<{data}> &data, hls::stream<{res}> &res) {{']
        many = f'[{config}::n_earlier]'
        buffers = (('z', 'state_t', ''), ('x', 'state_t', ''), ('slope', 'slope_t', ''), ('earlier', 'slope_t', many))
        for name, element, shape in buffers:
            lines.append(f'    {config}::{element} {name}{shape}[{config}::n_pixels][{config}::n_chan];')
            if shape:
                lines.append(f'    #pragma HLS ARRAY_PARTITION variable={name} complete dim=1')
            lines.append(f'    #pragma HLS ARRAY_RESHAPE variable={name} complete dim={3 if shape else 2}')
            lines.append(f'    #pragma HLS BIND_STORAGE variable={name} type=ram_2p impl={storage}')
        lines.append(f'    nnet::ext::ode_block<{data}, {res}, {config}>(data, res, z, x, slope, earlier);')
        return [*lines, '}']


class ODEFunctionTemplate(ExactFunctionTemplate):
    def __init__(self):
        super().__init__(ExactODEBlock)

    def transform(self, model, node):
        super().transform(model, node)
        node.set_attr('include_header', [*self.include_header, *node.get_attr('dynamics').headers()])
        return False


STORAGE = ('uram', 'bram', 'lutram')


def lower_ode_block(layer, inputs, graph) -> str:
    name, shape = graph.name(layer), graph.shape(inputs[0])
    if layer.state_quantizer is None:
        raise ConversionError(name, 'it has no state_quantizer', "Give it one, such as 'quantized_bits(12,3,alpha=1)'")
    state = quantizers.activation_type(layer.state_quantizer, name)
    storage, _ = graph.config_value(name, 'StateStorage', 'uram')
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

    a, b = layer.tableau()
    n = len(b)
    rows = np.zeros((n, n))
    for i, row in enumerate(a[1:]):
        rows[i, : len(row)] = row
    rows[n - 1] = b
    frac = coefficient_frac(rows, name, layer.coefficient_bits)
    stored = stored_integers(rows, frac)
    sums = state.range
    for row in stored:  # the worst of all combinations
        total = state.range
        for x in row:
            if x:
                total = total + slope.range * Range(min(int(x), 0), max(int(x), 0), frac)
        sums = sums | total
    graph.check_float(name, sums, layer.compute_dtype, 'the update z + h*sum(b*k)')
    times = []
    if layer.time_channel:
        times = [int(t) for t in stored_integers(layer.times().ravel(), state.frac)]
    # The kernel aligns to the fractional bits of state and product, whether a coefficient needs them or not.
    acc = sums.aligned(max(sums.frac, state.frac, slope.frac + frac))
    return graph.add(
        ExactODEBlock, name, [start], state,
        out_shape=shape, acc_width=acc.signed_bits, dynamics=dynamics, n_steps=layer.n_steps, n_stages=n,
        coefficients=[[int(x) for x in row] for row in stored], coefficient_frac=int(frac), times=times,
        time_channel=layer.time_channel, state_type=str(state), state_storage=storage,
    )  # fmt: skip


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


def _same_numbers(a: FixedType | None, b: FixedType) -> bool:
    """Does rounding a tensor of type a to type b change nothing, not even its layout?"""
    return a is not None and (a.width, a.integer, a.signed) == (b.width, b.integer, b.signed) and a.lo >= b.lo
