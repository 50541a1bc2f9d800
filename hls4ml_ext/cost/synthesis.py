"""Synthesizes engines on their own, many in one run of Yosys, by the flow of :mod:`hls4ml_ext.rtl.synthesis`."""

from __future__ import annotations

import json
import random
import re
import shutil
import tempfile
from collections import Counter
from hashlib import sha256
from pathlib import Path

from hls4ml_ext.files import write_json
from hls4ml_ext.rtl.body import Verbatim, parameter
from hls4ml_ext.rtl.project import FILES, ROMS, SOURCES, sources_of
from hls4ml_ext.rtl.synthesis import (
    ECP5,
    RESULT,
    Flow,
    Unit,
    cells_in,
    count,
    elaborate,
    folder_of,
    key_of,
    rtlil_of,
    unit_name,
    units_of,
    xilinx_flow,
)
from hls4ml_ext.rtl.verilator import cache_directory
from hls4ml_ext.rtl.yosys import Module, run_yosys

TOP = 'ext_calibration'
BATCH = 24
"""Units in one run of Yosys: it starts in seconds, and small units take less."""


def flow_of(family: str) -> Flow:
    """How Yosys synthesizes for a family."""
    return ECP5 if family == 'ecp5' else xilinx_flow(family)


def synthesize_engines(engines: list[tuple[str, dict]], family: str, progress=None) -> list[dict]:
    """What engines take.

    Args:
        engines: (module, parameters); files of ROMs are filled with random words.
        progress: Called with the number of units that are done, of how many, and the name of a module.

    Returns:
        For each engine ``module``, ``parameters``, and ``units``: module -> counts of all units of that module in it, and
        how many there are.
    """
    with tempfile.TemporaryDirectory(prefix='calibrate-', dir=_cache()) as name:
        directory = Path(name)
        write_engines(engines, directory)
        modules = elaborate(directory, TOP)
    units = units_of(modules, TOP)
    count_units([unit for key, unit in units.items() if key != '\\' + TOP], modules, flow_of(family), progress)
    instances = modules['\\' + TOP].instances
    rows = []
    for i, (module, parameters) in enumerate(engines):
        found: dict[str, Counter] = {}
        for unit in _below(units, instances[f'\\engine{i}']):
            found.setdefault(unit.module.base, Counter()).update({'units': 1, **count(unit.cells)})
        rows.append({'module': module, 'parameters': parameters, 'units': {k: _plain(c) for k, c in found.items()}})
    return rows


def count_project(directory: Path, family: str, progress=None) -> dict[str, int]:
    """What a written RTL project takes as a whole.

    Args:
        progress: See :func:`synthesize_engines`.

    Raises:
        ProjectError: if it is not complete, or Yosys is missing or fails.
    """
    top = Path((directory / FILES).read_text(encoding='utf-8').split()[-1]).stem
    modules = elaborate(directory, top)
    units = units_of(modules, top)
    count_units(list(units.values()), modules, flow_of(family), progress)
    total = Counter()
    for unit in _below(units, '\\' + top):
        total.update(count(unit.cells))
    return _plain(total)


def _below(units: dict[str, Unit], name: str) -> list[Unit]:
    """A unit, and all that are below it, for each instance."""
    return [units[name], *(unit for other in units[name].below for unit in _below(units, other))]


def _plain(counts: Counter) -> dict:
    return {name: n for name, n in counts.items() if n}


def _cache() -> Path:
    cache_directory().mkdir(parents=True, exist_ok=True)
    return cache_directory()


# ---------------------------------------------------------------------------------------------------------------------
# The design
# ---------------------------------------------------------------------------------------------------------------------


def write_engines(engines: list[tuple[str, dict]], directory: Path):
    """Writes a project whose top holds engines with nothing between them."""
    from hls4ml_ext.cost.structure import structure_of

    for folder in (SOURCES, ROMS):
        (directory / folder).mkdir(parents=True)
    lines = [f'module {TOP} (input logic clk, input logic rst);']
    for i, (module, parameters) in enumerate(engines):
        values = dict(parameters)
        for file, (words, bits) in structure_of(module, parameters).files.items():
            text = random_words(words, bits)
            name = sha256(text.encode()).hexdigest()[:16] + '.hex'
            (directory / ROMS / name).write_text(text, encoding='ascii')
            values[file] = f'{ROMS}/{name}'
        settings = ', '.join(f'.{key}({parameter(verbatim(value))})' for key, value in values.items())
        reset = ', .rst' if module not in WITHOUT_RESET else ''
        lines.append(f'    {module} #({settings}) engine{i} (.clk{reset});')
    (directory / SOURCES / f'{TOP}.sv').write_text('\n'.join([*lines, 'endmodule']) + '\n', encoding='utf-8')
    sources = sources_of({module for module, _ in engines})
    for source in sources:
        shutil.copyfile(source, directory / SOURCES / source.name)
    listed = [*(source.name for source in sources), f'{TOP}.sv']
    (directory / FILES).write_text(''.join(f'{SOURCES}/{file}\n' for file in listed), encoding='utf-8')


WITHOUT_RESET = frozenset({'ext_dot', 'ext_dot_pair', 'ext_accumulate'})


def verbatim(value):
    """A parameter as data have it: a constant like ``32'h1`` is no string."""
    return Verbatim(value) if isinstance(value, str) and re.fullmatch(r"\d+'h[0-9a-f]+", value) else value


def random_words(words: int, bits: int) -> str:
    """A file for ``$readmemh``, the same one each time."""
    r = random.Random(f'{words} {bits}')
    return ''.join(f'{r.getrandbits(bits):0{-(-bits // 4)}x}\n' for _ in range(words))


# ---------------------------------------------------------------------------------------------------------------------
# Counts
# ---------------------------------------------------------------------------------------------------------------------


def count_units(units: list[Unit], modules: dict[str, Module], flow: Flow, progress=None):
    """Fills in the cells of units, which are synthesized unless that has been done before.

    Raises:
        ProjectError: if Yosys is missing or fails.
    """
    distinct: dict[str, list[Unit]] = {}
    for unit in units:
        distinct.setdefault(unit.module.key, []).append(unit)
    pending, done = [], 0
    for same in distinct.values():
        cells = _known_cells(same[0], flow)
        if cells is None:
            pending.append(same)
        else:
            _set_cells(same, cells)
            done += 1
    pending.sort(key=lambda same: sum(len(modules[n].text) for n in [same[0].module.name, *same[0].inside]))
    for start in range(0, len(pending), BATCH):
        batch = pending[start : start + BATCH]
        for same, cells in zip(batch, synthesize_batch([same[0] for same in batch], modules, flow)):
            write_json(_counts_of(same[0], flow), {'cells': cells})
            _set_cells(same, cells)
        done += len(batch)
        if progress:
            progress(done, len(distinct), batch[-1][0].module.base)


def _set_cells(same: list[Unit], cells: dict[str, int]):
    for unit in same:
        unit.cells = cells


def _counts_of(unit: Unit, flow: Flow) -> Path:
    """Where the counts of a unit are kept."""
    folder = cache_directory() / 'counts'
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f'{key_of(unit, flow.name, flow.commands)}.json'


def _known_cells(unit: Unit, flow: Flow) -> dict[str, int] | None:
    for file in (_counts_of(unit, flow), folder_of(unit, flow) / RESULT):
        if file.is_file():
            return json.loads(file.read_text(encoding='utf-8'))['cells']
    return None


def synthesize_batch(units: list[Unit], modules: dict[str, Module], flow: Flow) -> list[dict[str, int]]:
    """The cells of units, type -> number. They are kept apart from each other: each becomes what it becomes alone."""
    cells = ''.join(
        f'  attribute \\keep 1\n  cell {unit_name(unit.module)} \\of_{unit.module.key}\n  end\n' for unit in units
    )
    top = f'attribute \\top 1\nmodule \\{TOP}\n{cells}end\n'
    text = rtlil_of(units, modules, flow, '\\keep_hierarchy 1') + top
    with tempfile.TemporaryDirectory(prefix='batch-', dir=_cache()) as name:
        folder = Path(name)
        (folder / 'batch.il').write_text(text, encoding='utf-8')
        commands = ['read_rtlil batch.il', *(command.format(top=TOP) for command in flow.commands)]
        run_yosys([*commands, 'tee -o stat.json stat -json'], folder, log=cache_directory() / 'calibration.log')
        statistics = json.loads((folder / 'stat.json').read_text(encoding='utf-8'))
    return [cells_in(statistics, unit_name(unit.module)) for unit in units]
