"""From a node to the two pieces of C++ that hls4ml's writer wants: its config struct and its call.

The call is the same for every kernel: its streams, then its arguments. With ``io_parallel`` the tensors are arrays; the
config then holds a small DATAFLOW function which puts the kernel between two processes that turn arrays into streams.
"""

from __future__ import annotations

from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate

from hls4ml_ext.layers.core.kernel import EnumValue, multiplier  # noqa: F401


def token_type(var) -> str:
    """C++ type of one token of a tensor, whether the tensor is a stream or an array."""
    if var.type.name and hasattr(var.type, 'n_elem'):
        return var.type.name
    return f'nnet::array<{var.type.name}, {var.shape[-1]}>'


def kernel_call(node, inputs: list[str], output: str) -> list[str]:
    """Lines of C++ that call the node's kernel on the named streams."""
    variables = [node.get_input_variable(i) for i in node.inputs] + [node.get_output_variable()]
    types = [token_type(v) for v in variables] + [f'config{node.index}']
    arguments = inputs + [output] + node.call_arguments()
    return node.pragmas() + [f'{node.callee(types)}({", ".join(arguments)});']


class ExactConfigTemplate(LayerConfigTemplate):
    """Writes ``struct config{index}``. Subclasses give the lines in it as :meth:`members`.

    Args:
        layer_class: The node class.
    """

    def __init__(self, layer_class):
        super().__init__(layer_class)

    def members(self, node) -> dict[str, object]:
        """The members of the config struct: ``{'n_filt': 8}`` is ``static const int n_filt = 8``; a value that is a
        string becomes a ``typedef``."""
        raise NotImplementedError

    def format(self, node) -> str:
        lines = self._struct(node)
        if node.model.config.get_config_value('IOType') == 'io_parallel':
            lines += self._parallel(node)
        return '\n'.join(lines) + '\n'

    def _struct(self, node) -> list[str]:
        lines = [f'struct config{node.index} {{']
        for name, value in self.members(node).items():
            if isinstance(value, str):
                lines.append(f'    typedef {value} {name};')
            elif isinstance(value, EnumValue):
                lines.append(f'    static const {value.type} {name} = {value.value};')
            else:
                kind = 'bool' if isinstance(value, bool) else 'int'
                lines.append(f'    static const {kind} {name} = {str(value).lower()};')
        return [*lines, '};']

    def _parallel(self, node) -> list[str]:
        inputs = [node.get_input_variable(i) for i in node.inputs]
        output = node.get_output_variable()
        arguments = [f'{v.type.name} {v.name}[{v.size_cpp()}]' for v in (*inputs, output)]
        lines = [f'inline void parallel{node.index}({", ".join(arguments)}) {{', '    #pragma HLS DATAFLOW']
        for v in (*inputs, output):
            lines.append(f'    hls::stream<{token_type(v)}> {v.name}_s("{v.name}_s");')
            lines.append(f'    #pragma HLS STREAM variable={v.name}_s depth=2')
        for v in inputs:
            lines.append(f'    nnet::ext::to_stream<{v.type.name}, {token_type(v)}, {v.size()}>({v.name}, {v.name}_s);')
        lines += ['    ' + line for line in kernel_call(node, [f'{v.name}_s' for v in inputs], f'{output.name}_s')]
        lines.append(
            f'    nnet::ext::from_stream<{token_type(output)}, {output.type.name}, {output.size()}>'
            f'({output.name}_s, {output.name});'
        )
        return lines + ['}']


class ExactFunctionTemplate(FunctionCallTemplate):
    """Writes the call of the node's kernel."""

    def __init__(self, layer_class):
        super().__init__(layer_class, include_header=[layer_class.header])

    def format(self, node):
        inputs = [node.get_input_variable(i).name for i in node.inputs]
        output = node.get_output_variable().name
        if node.model.config.get_config_value('IOType') == 'io_parallel':
            return f'parallel{node.index}({", ".join([*inputs, output])});'
        lines = kernel_call(node, inputs, output)
        return lines if len(lines) > 1 else lines[0]
