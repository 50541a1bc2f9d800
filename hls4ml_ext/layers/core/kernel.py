"""The C++ of a node: its config struct, its memories and the call of its kernel, as hls4ml's writer wants them.

The call is the same for every kernel: its streams, its ROMs, its RAMs. A node that has memories gets a function of its own,
which declares them and says where they live: a pragma can't take that from the config. With ``io_parallel`` the tensors are
arrays; the config then holds a small DATAFLOW function which puts the kernel between two processes that turn arrays into
streams and back.
"""

from __future__ import annotations

from dataclasses import dataclass

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate

from hls4ml_ext.layers.core.memory import Memory, Products
from hls4ml_ext.layers.core.node import ExactLayer, lanes_of

INDENT = '    '


@dataclass(frozen=True)
class Process:
    """One process of a kernel, a function with a loop of its own.

    Args:
        function: Name of the C++ function template in ``nnet::ext``.
        memories: The node's memories that it uses, in the order in which it takes them.
        result: The member of the config struct that is the type of its beats, or several, for as many streams; '' for the
            last process, which gives the node's.
        depth: Of the streams that it gives.
        inputs: The results of processes before it that it takes; none are those of the one before it.
    """

    function: str
    memories: tuple[str, ...] = ()
    result: str | tuple[str, ...] = ''
    depth: int = 2
    inputs: tuple[str, ...] = ()

    @property
    def results(self) -> tuple[str, ...]:
        return (self.result,) if isinstance(self.result, str) else self.result


class EnumValue:
    """A config member of a C++ enum type."""

    def __init__(self, type: str, value: str):
        self.type, self.value = type, value


class HLSKernel:
    """How a node is spelled in C++. Subclasses say:

    Attributes:
        node: The node class.
        name: Name of the C++ function template in ``nnet::ext``.
        header: File name of its header; '' if all of its C++ is written for the node.
    """

    node: type[ExactLayer] = None
    name = ''
    header = ''

    def members(self, node) -> dict[str, object]:
        """The members of the config struct: ``{'n_filt': 8}`` is ``static const int n_filt = 8``; a value that is a string
        becomes a ``typedef``."""
        return {'n_beats': node.n_beats, 'acc_width': int(node.get_attr('acc_width'))}

    def headers(self, node) -> list[str]:
        """The headers to include."""
        return [f'nnet_utils/{self.header}']

    # ------------------------------------------------------------------ text

    def config(self, node) -> list[str]:
        """The config struct, and the function that owns the node's memories."""
        return [*self.struct(node), *self.wrapper(node)]

    def struct(self, node) -> list[str]:
        lines = [f'struct config{node.index} {{']
        for name, value in self.members(node).items():
            if isinstance(value, str):
                lines.append(f'{INDENT}typedef {value} {name};')
            elif isinstance(value, EnumValue):
                lines.append(f'{INDENT}static const {value.type} {name} = {value.value};')
            else:
                kind = 'bool' if isinstance(value, bool) else 'int'
                lines.append(f'{INDENT}static const {kind} {name} = {str(value).lower()};')
        return [*lines, '};']

    def processes(self, node) -> list[Process]:
        """The processes that the data go through, one behind the other; most kernels are a single one."""
        return [Process(self.name, tuple(m.name for m in node.memories))]

    def wrapper(self, node) -> list[str]:
        """A function for each process that has memories, and one for all of them."""
        processes = self.processes(node)
        name, inputs, (*sources, result) = self.function(node), self._inputs(node), tokens_of(node)
        types = {**dict(zip(inputs, sources)), 'res': result}  # of the beats of each stream
        if len(processes) == 1:
            return self._process(node, name, processes[0], types) if node.memories else []
        lines, calls, before = [], [], inputs
        for process in processes:
            results = {} if process is processes[-1] else {_stream(m): f'config{node.index}::{m}' for m in process.results}
            types |= results
            taken, given = [_stream(m) for m in process.inputs] or before, list(results) or ['res']
            function = f'{name}_{process.function}'
            parameters = taken if taken == inputs else _numbered('data', len(taken))
            parameters = dict(zip([*parameters, *_numbered('res', len(given))], (types[s] for s in [*taken, *given])))
            lines += self._process(node, function, process, parameters)
            for stream, token in results.items():
                calls.append(f'hls::stream<{token}> {stream}("{name}_{stream}");')
                calls.append(f'#pragma HLS STREAM variable={stream} depth={process.depth}')
            calls.append(f'{function}({", ".join([*taken, *given])});')
            before = given
        signature = self._signature(name, {s: types[s] for s in [*inputs, 'res']})
        return [*lines, signature, f'{INDENT}#pragma HLS DATAFLOW', *(INDENT + c for c in calls), '}']

    def function(self, node) -> str:
        """The name of the node's own C++ function."""
        return f'{self.name}{node.index}'

    def _process(self, node, name: str, process: Process, streams: dict[str, str]) -> list[str]:
        """The function that owns the memories of a process.

        Args:
            streams: Its parameters, each with the type of its beats.
        """
        memories = {m.name: m for m in node.memories}
        lines = [self._signature(name, streams), f'{INDENT}#pragma HLS INLINE off']
        for memory in process.memories:
            lines += [INDENT + line for line in self.memory(node, memories[memory])]
        arguments = [*streams, *(self.argument(node, memories[memory]) for memory in process.memories)]
        callee = f'nnet::ext::{process.function}<{", ".join([*streams.values(), f"config{node.index}"])}>'
        return [*lines, f'{INDENT}{callee}({", ".join(arguments)});', '}']

    @staticmethod
    def _signature(name: str, streams: dict[str, str]) -> str:
        parameters = [f'hls::stream<{token}> &{stream}' for stream, token in streams.items()]
        return f'inline void {name}({", ".join(parameters)}) {{'

    def memory(self, node, memory: Memory) -> list[str]:
        """The declaration of a RAM, or where a ROM lives."""
        if memory.kind == 'rom':
            rom = node.weights[memory.name].name
            ports = 'rom_np' if memory.banks > 1 else 'rom_1p'  # a tool makes the copies of a ROM that is read several times
            return [f'#pragma HLS BIND_STORAGE variable={rom} type={ports} impl={memory.impl}'] if memory.words > 1 else []
        element = f'nnet::ext::int_t<{memory.width}, {str(memory.signed).lower()}>'
        banks = f'[{memory.banks}]' if memory.banks > 1 else ''
        lines = [f'{element} {memory.name}{banks}[{memory.words}][{memory.lanes}];']
        if memory.impl == 'registers':
            return [*lines, f'#pragma HLS ARRAY_PARTITION variable={memory.name} complete dim=0']
        if banks:
            lines.append(f'#pragma HLS ARRAY_PARTITION variable={memory.name} complete dim=1')
        lines.append(f'#pragma HLS ARRAY_RESHAPE variable={memory.name} complete dim={3 if banks else 2}')
        return [*lines, f'#pragma HLS BIND_STORAGE variable={memory.name} type=ram_s2p impl={memory.impl}']

    def argument(self, node, memory: Memory) -> str:
        """What a memory is called in C++."""
        return node.weights[memory.name].name if memory.kind == 'rom' else memory.name

    def call(self, node, inputs: list[str], output: str) -> str:
        """The call on the named streams."""
        processes = self.processes(node)
        callee = f'nnet::ext::{processes[0].function}<{", ".join([*tokens_of(node), f"config{node.index}"])}>'
        if node.memories or len(processes) > 1:
            callee = self.function(node)
        return f'{callee}({", ".join([*inputs, output])});'

    @staticmethod
    def _inputs(node) -> list[str]:
        return _numbered('data', len(node.inputs))

    def parallel(self, node) -> list[str]:
        """The DATAFLOW function for ``io_parallel``."""
        inputs = [node.get_input_variable(i) for i in node.inputs]
        variables = [*inputs, node.get_output_variable()]
        arguments = [f'{v.type.name} {v.name}[{v.size_cpp()}]' for v in variables]
        lines = [f'inline void parallel{node.index}({", ".join(arguments)}) {{', f'{INDENT}#pragma HLS DATAFLOW']
        tokens = tokens_of(node)
        for v, token in zip(variables, tokens):
            lines.append(f'{INDENT}hls::stream<{token}> {v.name}_s("{v.name}_s");')
            lines.append(f'{INDENT}#pragma HLS STREAM variable={v.name}_s depth=2')
        for v, token in zip(inputs, tokens):
            lines.append(f'{INDENT}nnet::ext::to_stream<{v.type.name}, {token}, {v.size()}>({v.name}, {v.name}_s);')
        output = variables[-1]
        lines.append(INDENT + self.call(node, [f'{v.name}_s' for v in inputs], f'{output.name}_s'))
        lines.append(
            f'{INDENT}nnet::ext::from_stream<{tokens[-1]}, {output.type.name}, {output.size()}>'
            f'({output.name}_s, {output.name});'
        )
        return [*lines, '}']


def tokens_of(node) -> list[str]:
    """The C++ types of the beats of a node's inputs and of its output."""
    inputs = [token_type(node.get_input_variable(t), node.lanes_in(i)) for i, t in enumerate(node.inputs)]
    return [*inputs, token_type(node.get_output_variable(), lanes_of(node))]


def token_type(variable, lanes: int) -> str:
    """C++ type of a beat of a tensor, whether the tensor is a stream or an array."""
    if hasattr(variable.type, 'n_elem'):
        return variable.type.name
    return f'nnet::array<{variable.type.name}, {lanes}>'


def _numbered(name: str, n: int) -> list[str]:
    return [name] if n == 1 else [f'{name}{i + 1}' for i in range(n)]


def _stream(member: str) -> str:
    """The stream between two processes whose beats have the type `member` of the config."""
    return member.removesuffix('_t') + '_s'


def multiplier(node, products: list[Products] | None = None) -> EnumValue:
    """The ``multiplier`` member of a kernel's config: where the node's products, or some of them, belong."""
    impl = 'dsp' if any(p.uses_dsp for p in (node.products if products is None else products)) else 'lut'
    return EnumValue('nnet::ext::mult_impl', f'nnet::ext::mult_{impl}')


def templates(kernel_class: type[HLSKernel]) -> tuple[type, type]:
    """The two hls4ml templates of a kernel: of its config and of its call."""
    kernel = kernel_class()

    class Config(LayerConfigTemplate):
        def __init__(self):
            super().__init__(kernel.node)

        def format(self, node):
            lines = kernel.config(node)
            if _is_parallel(node):
                lines = [*lines, *kernel.parallel(node)]
            return '\n'.join(lines) + '\n'

    class Call(FunctionCallTemplate):
        def __init__(self):
            super().__init__(kernel.node)

        def transform(self, model, node):
            super().transform(model, node)
            node.set_attr('include_header', kernel.headers(node))
            return False

        def format(self, node):
            inputs = [node.get_input_variable(i).name for i in node.inputs]
            output = node.get_output_variable().name
            if _is_parallel(node):
                return f'parallel{node.index}({", ".join([*inputs, output])});'
            return kernel.call(node, inputs, output)

    return Config, Call


def _is_parallel(node) -> bool:
    return node.model.config.get_config_value('IOType') == 'io_parallel'
