"""An RTL project on disk."""

from __future__ import annotations

import contextlib
import importlib.resources
import io
import shutil
import tempfile
from pathlib import Path
from types import SimpleNamespace

from hls4ml_ext.conversion import PROJECT_MARK
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.layers.core.node import ExactLayer, lanes_of
from hls4ml_ext.passes.spelled_in_rtl import check_spelled
from hls4ml_ext.rtl.body import INDENT, Body, Stream
from hls4ml_ext.rtl.kernel import stream_of

SOURCES, ROMS, FILES, CONSTRAINTS = 'rtl', 'roms', 'files.f', 'clock.xdc'
"""Folders, the list of sources and the constraints of a project."""


def write_project(model):
    """Writes the project of a graph: ``rtl/``, ``roms/``, ``files.f``, ``clock.xdc``, and hls4ml's own configuration file.

    It is written beside its directory, and moved there when it is complete. In an earlier project other files stay; the list
    of sources is what makes a project complete: it goes first and comes last.

    Raises:
        ProjectError: if the directory can't be written.
    """
    directory = Path(model.config.get_output_dir())
    made = None
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f'.{directory.name}.', dir=directory.parent))
        made.chmod(0o755)
        _write(model, made)
        if not directory.exists() or not any(directory.iterdir()):
            made.replace(directory)
            return
        (directory / FILES).unlink(missing_ok=True)
        for entry in sorted(made.iterdir(), key=lambda path: path.name == FILES):
            remove(directory / entry.name)
            entry.replace(directory / entry.name)
    except OSError as e:
        raise ProjectError(f"the project in '{directory}' can't be written: {e}") from e
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def remove(path: Path):
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write(model, directory: Path):
    """Writes all files of a project into an empty folder."""
    top, sources = top_module(model)
    for folder in (SOURCES, ROMS):
        (directory / folder).mkdir()
    name = model.config.get_project_name()
    (directory / SOURCES / f'{name}.sv').write_text(top, encoding='utf-8')
    for source in sources:
        shutil.copyfile(source, directory / SOURCES / source.name)
    for file, words in roms(model).items():
        (directory / ROMS / file).write_text('\n'.join(words) + '\n', encoding='ascii')
    listed = [*(source.name for source in sources), f'{name}.sv']
    (directory / FILES).write_text(''.join(f'{SOURCES}/{file}\n' for file in listed), encoding='utf-8')
    period = float(model.config.get_config_value('ClockPeriod'))
    constraint = f'create_clock -period {period:g} -name clk [get_ports clk]\n'
    (directory / CONSTRAINTS).write_text(constraint, encoding='utf-8')
    _write_configuration(model, directory)


def _write_configuration(model, directory: Path):
    """Writes hls4ml's configuration file and the Keras model of a project, which names the folder where it will be."""
    from hls4ml.writer.vivado_writer import VivadoWriter

    moved = SimpleNamespace(get_output_dir=lambda: str(directory), config=model.config.config)
    with contextlib.redirect_stdout(io.StringIO()):
        VivadoWriter.write_yml(None, SimpleNamespace(config=moved))
    file = directory / PROJECT_MARK
    text = file.read_text(encoding='utf-8').replace(str(directory), model.config.get_output_dir())
    file.write_text(text, encoding='utf-8')


def roms(model) -> dict[str, list[str]]:
    """File of each ROM -> its words in hexadecimal."""
    return {f'{rom.name}.hex': rom.hex_words() for node in model.get_layers() for rom in node.get_weights()}


# ---------------------------------------------------------------------------------------------------------------------
# The top
# ---------------------------------------------------------------------------------------------------------------------


def top_module(model) -> tuple[str, list[Path]]:
    """The text of the top, and the sources of all modules that it needs, in the order of their use."""
    body = Body()
    streams: dict[str, Stream] = {}
    ports = []
    for tensors, direction in ((model.inputs, 'in'), (model.outputs, 'out')):
        for tensor in tensors:
            stream = Stream(*stream_of(source_of(model, tensor), tensor), port=True)
            if direction == 'in':
                streams[tensor] = stream
            ports.append((stream, direction))
    outputs = {tensor: stream for tensor, (stream, d) in zip([*model.inputs, *model.outputs], ports) if d == 'out'}
    place_graph(model, body, streams, outputs)
    for stream in outputs.values():
        if stream.port_width > stream.width:
            body.lines.append(f"assign {stream.name}_tdata[{stream.port_width - 1}:{stream.width}] = '0;")
    name = model.config.get_project_name()
    lines = [
        f'// {name}: the network, written by hls4ml-ext. Every edge is a stream of beats with valid and ready;',
        '// every engine says in its own file what it does, in how many cycles.',
        f'module {name} #(',
        f'{INDENT}parameter ROMS = "{ROMS}" // folder of the files of the ROMs',
        ') (',
        f'{INDENT}input  logic clk,',
        f'{INDENT}input  logic rst, // synchronous, active high',
        *_port_lines(ports),
        ');',
        *(INDENT + line if line else '' for line in body.lines),
        'endmodule',
    ]
    return '\n'.join(lines) + '\n', sources_of(body.sources)


def place_graph(model, body: Body, streams: dict[str, Stream], outputs: dict[str, Stream]):
    """Places the engines of a graph.

    Args:
        streams: Tensor -> stream, of the inputs of the graph.
        outputs: The same of its outputs, which are there already.

    Raises:
        ConversionError: naming a layer that has no RTL.
    """
    for node in model.get_layers():
        if not isinstance(node, ExactLayer):
            continue
        kernel = check_spelled(node)
        lanes = lanes_of(node)
        body.comment(f'{node.layer_name}: {node.kind}, {node.n_beats} beats of {lanes} lane{"s" if lanes > 1 else ""}')
        given = []
        for tensor in node.outputs:
            if tensor in outputs:
                streams[tensor] = outputs[tensor]
            else:
                streams[tensor] = body.stream(*stream_of(node, tensor))
            given.append(streams[tensor])
        kernel.place(node, body, [streams[tensor] for tensor in node.inputs], given)


def source_of(model, tensor: str):
    """The node that gives a tensor."""
    return next(node for node in model.get_layers() if tensor in node.outputs)


def _port_lines(ports) -> list[str]:
    lines = []
    for stream, direction in ports:
        other = 'output' if direction == 'in' else 'input '
        this = 'input ' if direction == 'in' else 'output'
        lines += [
            f'{INDENT}{this} logic [{stream.port_width - 1}:0] {stream.name}_tdata,',
            f'{INDENT}{this} logic {stream.name}_tvalid,',
            f'{INDENT}{other} logic {stream.name}_tready,',
        ]
    lines[-1] = lines[-1].removesuffix(',')
    return lines


# ---------------------------------------------------------------------------------------------------------------------
# Sources
# ---------------------------------------------------------------------------------------------------------------------


def shared_sources() -> list[Path]:
    """The modules that all engines share."""
    folder = Path(str(importlib.resources.files('hls4ml_ext.rtl') / 'sv'))
    return sorted(folder.glob('*.sv'))


def sources_of(modules: set[str]) -> list[Path]:
    """The files of some modules, and of those that they use."""
    from hls4ml_ext.registry import rtl_sources

    known = {path.stem: path for path in [*shared_sources(), *rtl_sources()]}
    found: dict[str, Path] = {}

    def add(module):
        if module in found or module not in known:
            return
        words = set(known[module].read_text(encoding='utf-8').replace('(', ' ').split())
        for used in sorted((words & known.keys()) - {module}):
            add(used)
        found[module] = known[module]

    for module in sorted(modules):
        add(module)
    return list(found.values())
