"""Yosys behind ``pyosys``: scripts in a process of their own, and its text form of a design (RTLIL)."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path

from hls4ml_ext.errors import ProjectError

RUN = "import sys; from pyosys import libyosys as ys; ys.run_pass('script ' + sys.argv[1], ys.Design())"
LAST_LINES = 2
SCRIPT, LOG = 'script.ys', 'yosys.log'


@cache
def yosys_version() -> str:
    """The version of Yosys that is installed.

    Raises:
        ProjectError: if there is none.
    """
    if importlib.util.find_spec('pyosys') is None:
        raise ProjectError('synthesis needs Yosys (pip install hls4ml-ext[rtl])')
    return version('pyosys')


def run_yosys(commands: list[str], directory: Path, log: Path | None = None):
    """Runs a script, in a folder and a process of its own.

    Args:
        log: Where its log is kept; None is in the folder.

    Raises:
        ProjectError: if there is no Yosys, or it fails, with its last error and the path of its log.
    """
    yosys_version()
    directory.mkdir(parents=True, exist_ok=True)
    (directory / SCRIPT).write_text('\n'.join(commands) + '\n', encoding='utf-8')
    call('Yosys', [sys.executable, '-c', RUN, SCRIPT], directory, log or LOG)


def call(tool: str, command: list[str], directory: Path, log: str | Path):
    """Runs a tool in a folder; its output goes to a log, whose path is relative to that or absolute.

    Raises:
        ProjectError: if it fails, with its last errors and the path of its log.
    """
    path = directory / log
    with path.open('w', encoding='utf-8') as file:
        done = subprocess.run(command, cwd=directory, stdout=file, stderr=subprocess.STDOUT, check=False)
    if done.returncode < 0:
        raise ProjectError(f'{tool} was ended by signal {-done.returncode}. All of its output is in {path}')
    if done.returncode:
        lines = [line.strip() for line in path.read_text(encoding='utf-8', errors='replace').splitlines() if line.strip()]
        errors = [line for line in lines if 'error' in line.lower()] or lines
        shown = ' '.join(errors[-LAST_LINES:]) or f'exit code {done.returncode}'
        raise ProjectError(f'{tool} failed: {shown} All of its output is in {path}')


# ---------------------------------------------------------------------------------------------------------------------
# RTLIL
# ---------------------------------------------------------------------------------------------------------------------

CELL = re.compile(r'^( +cell )(\S+)( \S+)$', re.MULTILINE)
PARAMETERISED = re.compile(r'^\$paramod(?:\$[0-9a-f]+)?\\([^\\]+)')
SOURCE = re.compile(r'"([^":]+):(\d+)\.\d+-(\d+)\.\d+"')
DROPPED = ('attribute \\src ', 'attribute \\hdlname ')
CONSTANT = re.compile(r"^ +connect \\[AB] (?:\d+'[01]+|-?\d+)$", re.MULTILINE)
MULTIPLICATION = re.compile(r'^( +)cell \$mul (\S+)$(.*?)^\1end$', re.MULTILINE | re.DOTALL)
SOFT = 'ext_soft_product'
"""The attribute of products that Yosys shall not put into multipliers."""
PORT = re.compile(r'^  wire .*\b(?:input|output|inout) \d+.*$', re.MULTILINE)


@dataclass
class Module:
    """A module with its parameters, as Yosys has elaborated it.

    Attributes:
        name: In the design.
        text: What is between ``module`` and ``end``, without what says where in the sources it comes from.
        instances: Name of each instance of another module -> the module.
        key: Hash of its source, its parameters with the contents of files, and all modules below it.
    """

    name: str
    text: str
    instances: dict[str, str] = field(default_factory=dict)
    key: str = ''

    @property
    def base(self) -> str:
        """Its name in SystemVerilog."""
        found = PARAMETERISED.match(self.name)
        return found[1] if found else self.name.removeprefix('\\')

    def ports(self) -> str:
        """The lines of its ports."""
        return '\n'.join(PORT.findall(self.text)) + '\n'

    def with_names(self, rename: Callable[[str], str]) -> str:
        """Its text, with other names for the modules that it has instances of."""
        names = set(self.instances.values())
        return CELL.sub(lambda m: m[1] + (rename(m[2]) if m[2] in names else m[2]) + m[3], self.text)


def read_rtlil(folder: Path, file: str) -> dict[str, Module]:
    """The modules of a design by name.

    Args:
        folder: With its sources, and the files of its ROMs.
        file: The design.
    """
    modules, identities = {}, {}
    lines = (folder / file).read_text(encoding='utf-8').splitlines()
    start, source = 0, ''
    for i, line in enumerate(lines):
        if line.startswith('attribute \\src '):
            source = line
        elif line.startswith('module '):
            start = i
        elif line == 'end':
            name, own = lines[start].split(' ', 1)[1], lines[start + 1 : i]
            kept = [line for line in own if not line.lstrip().startswith(DROPPED) and not line.startswith('  parameter ')]
            modules[name] = Module(name, soft_constants('\n'.join(kept) + '\n'))
            parameters = [line for line in own if line.startswith('  parameter ')]
            identities[name] = [source_text(folder, source), *(with_contents(folder, line) for line in sorted(parameters))]
    for module in modules.values():
        module.instances = {m[3].strip(): m[2] for m in CELL.finditer(module.text) if m[2] in modules}
    for module in modules.values():
        _find_key(module, modules, identities)
    return modules


def source_text(folder: Path, attribute: str) -> str:
    """The lines of SystemVerilog that an attribute ``src`` points to."""
    found = SOURCE.search(attribute)
    lines = (folder / found[1]).read_text(encoding='utf-8').splitlines()
    return '\n'.join(lines[int(found[2]) - 1 : int(found[3])])


def with_contents(folder: Path, parameter: str) -> str:
    """A parameter and its value; for that of a file, what is in it."""
    value = parameter.split(' ', 4)[-1]
    if not value.startswith('"') or '\\' in value:  # a number, which may be longer than the name of a file can be
        return parameter
    path = folder / value.strip('"')
    if not path.is_file():
        return parameter
    return f'{parameter.rsplit(" ", 1)[0]} {hashlib.sha256(path.read_bytes()).hexdigest()}'


def soft_constants(text: str) -> str:
    """Marks products with a constant: they take no multipliers, see :data:`SOFT`."""

    def soft(match):
        if not CONSTANT.search(match[3]):
            return match[0]
        return f'{match[1]}attribute \\{SOFT} 1\n{match[0]}'

    return MULTIPLICATION.sub(soft, text)


def _find_key(module: Module, modules: dict[str, Module], identities: dict[str, list[str]]) -> str:
    if not module.key:
        below = {name: _find_key(modules[other], modules, identities) for name, other in sorted(module.instances.items())}
        module.key = hashlib.sha256(repr([module.base, identities[module.name], below]).encode()).hexdigest()[:24]
    return module.key
