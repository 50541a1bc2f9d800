"""The C++ of the Neural-ODE block."""

from __future__ import annotations

from hls4ml_ext.layers.core.kernel import INDENT, HLSKernel, tokens_of
from hls4ml_ext.layers.core.memory import Memory
from hls4ml_ext.layers.ode.node import ExactODEBlock


class ODEKernel(HLSKernel):
    """The config of the block after those of the layers inside, and two functions: an evaluation, and the loop over them."""

    node = ExactODEBlock
    name = 'ode_block'
    header = 'nnet_ode_ext.h'

    def headers(self, node):
        return [*super().headers(node), *node.get_attr('dynamics').headers()]

    def members(self, node):
        state, slope = node.state_type, node.slope_type
        lanes = node.lanes_out
        return {
            'n_pixels': node.n_pixels,
            'n_chan': node.channels,
            'n_lanes': lanes,
            'n_words': node.n_beats,
            'n_stored': node.n_beats if node.evaluations > 1 else 1,
            'n_stages': int(node.get_attr('n_stages')),
            'n_evaluations': node.evaluations,
            'n_earlier': len(node.kept_slopes),
            'coefficient_width': node.coefficient_width,
            'coefficient_frac': int(node.get_attr('coefficient_frac')),
            'slope_frac': slope.frac,
            'acc_width': int(node.get_attr('acc_width')),
            'state_t': node.get_attr('state_type'),
            'state_beat': f'nnet::array<{node.get_attr("state_type")}, {lanes}>',
            'state_int': integer(state.width, state.signed),
            'slope_int': integer(slope.width, slope.signed),
        }

    def config(self, node):
        return [*node.get_attr('dynamics').configs(), *self.struct(node), *self._evaluate(node), *self.wrapper(node)]

    def struct(self, node):
        *lines, end = super().struct(node)
        n_stages = int(node.get_attr('n_stages'))
        stages = range(n_stages)
        rows = [', '.join(str(int(x)) for x in row) for row in node.get_attr('coefficients')]
        lines.append(f'{INDENT}// h * a and, in the last row, h * b')
        lines += self._table('int coefficient', 'int row, int slope', 'row][slope', rows)
        lines.append(f'{INDENT}// Is every coefficient of the slope zero or a power of two?')
        lines += self._table('bool is_shift', 'int slope', 'slope', [str(node.is_shift(j)).lower() for j in stages])
        if node.kept_slopes:
            banks = [str(node.kept_slopes.index(j) if j in node.kept_slopes else -1) for j in stages]
            lines.append(f'{INDENT}// The buffer that keeps the slope for later stages')
            lines += self._table('int bank', 'int slope', 'slope', banks)
        if node.get_attr('time_channel'):
            times = [str(int(t)) for t in node.get_attr('times')]
            lines += self._table('int time', 'int evaluation', 'evaluation', times)
        return [*lines, end]

    @staticmethod
    def _table(signature: str, parameters: str, index: str, values: list[str]) -> list[str]:
        """A function that looks a constant up; rows of a table of two dimensions are comma-separated numbers."""
        kind, name = signature.split()
        two = '][' in index
        size = f'[{len(values)}][{len(values)}]' if two else f'[{len(values)}]'
        text = ', '.join(f'{{{v}}}' if two else v for v in values)
        return [
            f'{INDENT}static {kind} {name}({parameters}) {{',
            f'{INDENT}{INDENT}#pragma HLS INLINE',
            f'{INDENT}{INDENT}static const {kind} table{size} = {{{text}}};',
            f'{INDENT}{INDENT}return table[{index}];',
            f'{INDENT}}}',
        ]

    # ------------------------------------------------------------------ functions

    def _evaluate(self, node) -> list[str]:
        """One evaluation: a dataflow region of the two ends and the layers of the dynamics."""
        sub, config = node.get_attr('dynamics'), f'config{node.index}'
        data, res = tokens_of(node)
        held, words = f'{config}::state_beat', f'[{config}::n_stored][{config}::n_lanes]'
        inner = [self._parameter(m) for m in node.memories if m.name in ('z', 'earlier')]
        parameters = [
            f'hls::stream<{data}> &data',
            f'{config}::state_int x{words}',
            'int evaluation',
            'int stage',
            *inner,
            f'{config}::state_int y{words}',
            f'hls::stream<{res}> &res',
        ]
        lines = [
            '// One evaluation of the dynamics: from the state in x to the next state in y',
            f'inline void ode_evaluate{node.index}({", ".join(parameters)}) {{',
            '#pragma HLS INLINE off',
            '#pragma HLS DATAFLOW',
        ]
        depths = ((sub.input.type.name, sub.input.name, sub.input.pragma[1]), (held, 'held', node.held_depth))
        for kind, name, depth in (*depths, (sub.output.type.name, sub.output.name, sub.output.pragma[1])):
            lines.append(f'hls::stream<{kind}> {name}("{name}");')
            lines.append(f'#pragma HLS STREAM variable={name} depth={depth}')
        read = 'ode_read_time' if node.get_attr('time_channel') else 'ode_read'
        lines.append(
            f'nnet::ext::{read}<{data}, {sub.input.type.name}, {config}>'
            f'(data, x, evaluation, stage, {sub.input.name}, held);'
        )
        lines += sub.body()
        stages = ['stage', 'z'] if node.get_attr('n_stages') > 1 else []
        stages += ['earlier'] if node.kept_slopes else []
        lines.append(
            f'nnet::ext::ode_update<{sub.output.type.name}, {res}, {config}>'
            f'({", ".join([sub.output.name, "held", "evaluation", *stages, "y", "res"])});'
        )
        return [*lines[:2], *(INDENT + line for line in lines[2:]), '}']

    def wrapper(self, node):
        """The function that owns the buffers, and calls the evaluations."""
        name, n, n_stages = f'ode_evaluate{node.index}', node.evaluations, int(node.get_attr('n_stages'))
        lines = [
            '#pragma HLS INLINE off',
            '// One instance of the dynamics, whatever the number of calls',
            f'#pragma HLS ALLOCATION function instances={name} limit=1',
        ]
        memories = {m.name: m for m in node.memories}
        if 'x' not in memories:  # a single evaluation: a word that is never touched stands for the buffers
            memories = {m: Memory(m, 1, node.lanes_out, node.state_type.width, signed=node.state_type.signed) for m in 'xy'}
        for memory in memories.values():
            lines += self.memory(node, memory)
        inner = [m for m in memories if m in ('z', 'earlier')]

        def call(source, target, evaluation):
            stage = 'stage' if n_stages > 1 else '0'
            return f'{name}({", ".join(["data", source, evaluation, stage, *inner, target, "res"])});'

        advance = [f'stage = stage == {n_stages - 1} ? 0 : stage + 1;'] if n_stages > 1 else []
        if n_stages > 1:
            lines.append('int stage = 0;')
        if n > 1:
            lines += [
                'ode_evaluations:',
                f'for (int evaluation = 0; evaluation < {n // 2 * 2}; evaluation += 2) {{',
                *(INDENT + line for line in (call('x', 'y', 'evaluation'), *advance)),
                *(INDENT + line for line in (call('y', 'x', 'evaluation + 1'), *advance)),
                '}',
            ]
        if n % 2:
            lines.append(call('x', 'y', str(n - 1)))
        data, res = tokens_of(node)
        signature = f'inline void ode_block{node.index}(hls::stream<{data}> &data, hls::stream<{res}> &res) {{'
        return [signature, *(INDENT + line for line in lines), '}']

    def call(self, node, inputs, output):
        return f'ode_block{node.index}({", ".join([*inputs, output])});'

    @staticmethod
    def _parameter(memory: Memory) -> str:
        banks = f'[{memory.banks}]' if memory.name == 'earlier' else ''
        return f'{integer(memory.width, memory.signed)} {memory.name}{banks}[{memory.words}][{memory.lanes}]'

    def memory(self, node, memory):
        lines = super().memory(node, memory)
        if memory.name != 'earlier':
            return lines
        # An array of buffers, even if it is one.
        lines = [f'{self._parameter(memory)};', '#pragma HLS ARRAY_PARTITION variable=earlier complete dim=1']
        if memory.impl == 'registers':
            return [lines[0], '#pragma HLS ARRAY_PARTITION variable=earlier complete dim=0']
        lines.append('#pragma HLS ARRAY_RESHAPE variable=earlier complete dim=3')
        return [*lines, f'#pragma HLS BIND_STORAGE variable=earlier type=ram_s2p impl={memory.impl}']


def integer(width: int, signed: bool) -> str:
    """The C++ type of a stored integer."""
    return f'nnet::ext::int_t<{width}, {str(signed).lower()}>'
