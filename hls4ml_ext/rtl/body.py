"""The text of a SystemVerilog module: streams, and the engines between them."""

from __future__ import annotations

from dataclasses import dataclass, field

INDENT = '    '


@dataclass(frozen=True)
class Stream:
    """A stream of beats: ``NAME_data``, ``NAME_valid``, ``NAME_ready``.

    Args:
        name: In SystemVerilog.
        width: Bits of a beat.
        port: Whether it is a port of the module, in the names of AXI-Stream: ``NAME_tdata``, ``NAME_tvalid``,
            ``NAME_tready``.
    """

    name: str
    width: int
    port: bool = False

    def __getattr__(self, signal):
        if signal not in ('data', 'valid', 'ready'):
            raise AttributeError(signal)
        name = f'{self.name}_{"t" if self.port else ""}{signal}'
        padded = self.port and signal == 'data' and self.port_width > self.width
        return f'{name}[{self.width - 1}:0]' if padded else name

    @property
    def port_width(self) -> int:
        """Bits of a port: AXI-Streams have whole bytes, of which the upper bits may be unused."""
        return 8 * -(-self.width // 8)

    def signals(self, prefix: str) -> list[str]:
        """The connections of the port of an engine that is called `prefix`."""
        return [f'.{prefix}_data({self.data})', f'.{prefix}_valid({self.valid})', f'.{prefix}_ready({self.ready})']


class Verbatim(str):
    """The value of a parameter as it is written, not a string."""


@dataclass(frozen=True)
class Instance:
    """An instance of a module.

    Attributes:
        module: Its name.
        name: That of the instance.
        parameters: Name -> value, as :meth:`Body.engine` was given them.
    """

    module: str
    name: str
    parameters: dict


@dataclass
class Body:
    """Collects what stands in a module.

    Attributes:
        lines: Of SystemVerilog.
        instances: The instances of other modules, in order.
    """

    lines: list[str] = field(default_factory=list)
    instances: list[Instance] = field(default_factory=list)

    @property
    def sources(self) -> set[str]:
        """The modules that are used."""
        return {instance.module for instance in self.instances}

    def stream(self, name: str, width: int) -> Stream:
        """Declares a stream."""
        self.lines += [f'logic [{width - 1}:0] {name}_data;', f'logic {name}_valid, {name}_ready;']
        return Stream(name, width)

    def comment(self, text: str):
        self.lines += ['', f'// {text}']

    def engine(self, module: str, name: str, parameters: dict, inputs: list[Stream], outputs: list[Stream]):
        """Places an instance of an engine.

        Args:
            module: Name of the SystemVerilog module.
            name: Of the instance.
            parameters: Of the module; a Python string becomes a string.
            inputs, outputs: Its streams: ports ``s``, ``m``, or ``s0``, ``s1``, ... if there are several.
        """
        signals = []
        for prefix, streams in (('s', inputs), ('m', outputs)):
            for i, stream in enumerate(streams):
                signals += stream.signals(prefix if len(streams) == 1 else f'{prefix}{i}')
        self.instance(module, name, parameters, signals)

    def instance(self, module: str, name: str, parameters: dict, signals: list[str]):
        """Places an instance of any module, which gets the clock and the reset.

        Args:
            signals: The connections of its other ports.
        """
        self.instances.append(Instance(module, name, parameters))
        values = [f'.{key}({parameter(value)})' for key, value in parameters.items()]
        self.lines += [f'{module} #(', *wrapped(values), f') {name} (', *wrapped(['.clk', '.rst', *signals]), ');']


def parameter(value) -> str:
    """A value in SystemVerilog."""
    if isinstance(value, Verbatim):
        return str(value)
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, bool):
        return f"1'b{int(value)}"
    return str(int(value))


def wrapped(items: list[str], width: int = 121) -> list[str]:
    """Comma-separated items in lines of at most `width` characters."""
    lines, line = [], INDENT
    for i, item in enumerate(items):
        text = item + (',' if i < len(items) - 1 else '')
        if line.strip() and len(line) + len(text) + 1 > width:
            lines.append(line.rstrip())
            line = INDENT
        line += text + ' '
    return [*lines, line.rstrip()] if line.strip() else lines
