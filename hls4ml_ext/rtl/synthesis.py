"""Synthesis by Yosys: what a network takes of an FPGA, engine by engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from filelock import FileLock

from hls4ml_ext.devices import Device
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.files import write_json
from hls4ml_ext.rtl.project import FILES, ROMS
from hls4ml_ext.rtl.verilator import cache_directory
from hls4ml_ext.rtl.yosys import SOFT, Module, read_rtlil, run_yosys, yosys_version

HERE = Path(__file__).parent
PARTS_OF_ENGINES = frozenset({'ext_dot', 'ext_dot_pair', 'ext_accumulate'})
"""Modules below an engine that are synthesized on their own: the same ones are in many engines."""

MAPPED_ALONE = frozenset({'ext_rom'})
"""Modules whose LUTs are chosen without what is around them: a bit of 64 words is one, but ABC takes three if it sees the
counter of their address, too."""

DIVISION = (sorted(PARTS_OF_ENGINES), sorted(MAPPED_ALONE))
"""What else the synthesis of a unit depends on."""

PARAMETERS = ('INIT', *(f'INIT_{i}' for i in 'ABCDEFGH'), *(f'IS_{i}_INVERTED' for i in ('C', 'D', 'R', 'S', 'CLK', 'WCLK')))
WITHOUT_PARAMETERS = f'setparam {" ".join(f"-unset {name}" for name in PARAMETERS)} t:FD* t:SRL* t:RAM32M16 t:RAM64M8'
"""Takes the parameters from the cells that timing.v has without them."""

RESULT, NETLIST = 'result.json', 'netlist.il'


SOFT_PRODUCTS = f'chtype -set $__soft_mul a:{SOFT}'
"""Makes marked products what both flows take for those that have found no multiplier."""

JOINED = ('setattr -mod -unset keep_hierarchy part_*', 'flatten')
"""Puts :data:`MAPPED_ALONE` into their units, at the end."""


@dataclass(frozen=True)
class Flow:
    """How Yosys synthesizes for a family of FPGAs.

    Attributes:
        name: Of the family.
        commands: The script; ``{top}`` is the module.
        libraries: Commands that read the cells.
        timing: The same with delays, for ``sta``; empty where that is left to place and route.
    """

    name: str
    commands: tuple[str, ...]
    libraries: tuple[str, ...]
    timing: tuple[str, ...] = ()


def xilinx_flow(family: str) -> Flow:
    """The flow of a family of AMD's: 'xcup', 'xcu', 'xc7'."""
    uram = ' -uram' if family == 'xcup' else ''
    cells = ('read_verilog -lib -specify +/xilinx/cells_sim.v', 'read_verilog -lib +/xilinx/cells_xtra.v')
    synthesis = f'synth_xilinx -family {family} -flatten -noiopad -noclkbuf{uram} -top {{top}} -run'
    # First come first served: the delays of registers in timing.v are without conditions, which `sta` can't read.
    timing = ('read_verilog -lib -specify timing.v', 'read_verilog -lib -nooverwrite -specify +/xilinx/cells_sim.v')
    return Flow(family, (f'{synthesis} begin:prepare', SOFT_PRODUCTS, f'{synthesis} prepare:', *JOINED), cells, timing)


ECP5 = Flow(
    'ecp5',
    ('synth_ecp5 -top {top} -run begin:coarse', SOFT_PRODUCTS, 'synth_ecp5 -top {top} -run coarse:', *JOINED),
    ('read_verilog -lib +/lattice/cells_sim_ecp5.v', 'read_verilog -lib +/lattice/cells_bb_ecp5.v'),
)


@dataclass
class Unit:
    """What is synthesized at a time: a module without those below it that are units themselves.

    Attributes:
        modules: All modules of the design.
        module: Its own.
        inside: Names of the modules that are part of it.
        below: Names of the units that it has instances of, for each instance.
        cells: Type -> number of cells, after synthesis.
        delay: Of its slowest path between registers, in ns; None where it isn't known.
    """

    module: Module
    inside: list[str]
    below: list[str]
    cells: dict[str, int] = field(default_factory=dict)
    delay: float | None = None


# ---------------------------------------------------------------------------------------------------------------------
# Elaboration
# ---------------------------------------------------------------------------------------------------------------------


def elaborate(directory: Path, top: str, extra: dict[str, str] | None = None) -> dict[str, Module]:
    """The modules of a written project with the values of their parameters, and the contents of their ROMs.

    Args:
        extra: More sources, name of the file -> text.

    Raises:
        ProjectError: if files are missing, or Yosys fails.
    """
    try:
        sources = (directory / FILES).read_text(encoding='utf-8').split()
    except OSError as e:
        raise ProjectError(f"the project in '{directory}' is not complete: {e}. Write it again: hls_model.write()") from None
    cache_directory().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix='elaborate-', dir=cache_directory()) as name:
        folder = Path(name)
        try:
            shutil.copytree(directory / ROMS, folder / ROMS)
            for source in sources:
                shutil.copyfile(directory / source, folder / Path(source).name)
        except OSError as e:
            raise ProjectError(
                f"the project in '{directory}' is not complete: {e}. Write it again: hls_model.write()"
            ) from None
        for file, text in (extra or {}).items():
            (folder / file).write_text(text, encoding='utf-8')
        files = ' '.join(dict.fromkeys([*(Path(source).name for source in sources), *(extra or {})]))
        commands = [f'read_verilog -sv -defer -DSYNTHESIS {files}', f'hierarchy -top {top}', 'write_rtlil design.il']
        run_yosys(commands, folder, log=cache_directory() / f'elaboration-{top}.log')
        return read_rtlil(folder, 'design.il')


def units_of(modules: dict[str, Module], top: str) -> dict[str, Unit]:
    """Divides a design into units: the top, each engine, and :data:`PARTS_OF_ENGINES`.

    Returns:
        Name of the module -> unit.
    """
    from hls4ml_ext.registry import rtl_sources
    from hls4ml_ext.rtl.project import shared_sources

    engines = {path.stem for path in rtl_sources()} | PARTS_OF_ENGINES
    shared = {path.stem for path in shared_sources()} - PARTS_OF_ENGINES
    units: dict[str, Unit] = {}

    def is_unit(name):  # modules that no file has are written for this network, and hold engines
        return modules[name].base in engines or modules[name].base not in shared

    def visit(name):
        if name in units:
            return
        unit = units[name] = Unit(modules[name], [], [])
        pending, seen = list(modules[name].instances.values()), set()
        while pending:
            other = pending.pop()
            if is_unit(other) or (name == '\\' + top and other in modules[name].instances.values()):
                unit.below.append(other)
            else:
                if other not in seen:
                    seen.add(other)
                    unit.inside.append(other)
                pending += modules[other].instances.values()
        for other in unit.below:
            visit(other)

    visit('\\' + top)
    return units


# ---------------------------------------------------------------------------------------------------------------------
# Synthesis
# ---------------------------------------------------------------------------------------------------------------------


def synthesize(units: dict[str, Unit], modules: dict[str, Module], flow: Flow, progress=None, workers: int | None = None):
    """Synthesizes units, each one once, unless that has been done before.

    Args:
        progress: Called with the number of units that are done, of how many, and the name of the last one.
        workers: Processes; None is one for each core.

    Raises:
        ProjectError: if Yosys is missing or fails.
    """
    distinct: dict[str, list[Unit]] = {}
    for unit in units.values():
        distinct.setdefault(unit.module.key, []).append(unit)
    # The largest first: they would be waited for at the end.
    order = sorted(distinct.values(), key=lambda same: -sum(len(modules[n].text) for n in same[0].inside))
    done = 0

    def one(same: list[Unit]):
        nonlocal done
        result = json.loads((synthesize_unit(same[0], modules, flow) / RESULT).read_text(encoding='utf-8'))
        for unit in same:
            unit.cells, unit.delay = result['cells'], result['delay']
        done += 1
        if progress:
            progress(done, len(order), same[0].module.base)

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        futures = [pool.submit(one, same) for same in order]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def unit_name(module: Module) -> str:
    return f'\\unit_{module.key}'


def key_of(unit: Unit, *more) -> str:
    """Changes with a unit, with more that its synthesis depends on, and with how Yosys is used."""
    return sha256(repr([unit.module.key, *more, yosys_version(), DIVISION]).encode()).hexdigest()[:24]


def folder_of(unit: Unit, flow: Flow) -> Path:
    """Where the synthesis of a unit is kept."""
    timing = (HERE / 'timing.v').read_bytes()
    return cache_directory() / 'synthesis' / key_of(unit, flow, timing)


def synthesize_unit(unit: Unit, modules: dict[str, Module], flow: Flow) -> Path:
    """Synthesizes a unit, unless that has been done before, and returns its folder."""
    folder = folder_of(unit, flow)
    if (folder / RESULT).is_file():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / '.lock'):
        if not (folder / RESULT).is_file():
            _synthesize(unit, modules, flow, folder)
    return folder


def _synthesize(unit: Unit, modules: dict[str, Module], flow: Flow, folder: Path):
    top = unit_name(unit.module)
    (folder / 'unit.il').write_text(rtlil_of([unit], modules, flow, '\\top 1'), encoding='utf-8')
    shutil.copyfile(HERE / 'timing.v', folder / 'timing.v')
    commands = ['read_rtlil unit.il', *(command.format(top=top) for command in flow.commands)]
    commands += ['tee -o stat.json stat -json', f'select {top}', f'write_rtlil -selected {NETLIST}']
    if flow.timing:
        commands += [
            'design -reset',
            *flow.timing,
            f'read_rtlil {NETLIST}',
            WITHOUT_PARAMETERS,
            f'hierarchy -top {top}',
            'delete t:$scopeinfo',
        ]
        commands += ['tee -o timing.txt sta']
    run_yosys(commands, folder)
    statistics = json.loads((folder / 'stat.json').read_text(encoding='utf-8'))
    delay = delay_in((folder / 'timing.txt').read_text(encoding='utf-8')) if flow.timing else None
    write_json(folder / RESULT, {'cells': cells_in(statistics, top), 'delay': delay})


def rtlil_of(units: list[Unit], modules: dict[str, Module], flow: Flow, attribute: str) -> str:
    """Units in RTLIL; the units below them that are not among them are boxes.

    Args:
        attribute: Of the units' modules.
    """
    keys, texts = {unit.module.key for unit in units}, {}
    for unit in units:
        names = {name: f'\\part_{modules[name].key}' for name in unit.inside}
        names |= {name: unit_name(modules[name]) for name in unit.below}
        for name in unit.inside:
            kept = 'attribute \\keep_hierarchy 1\n' if modules[name].base in MAPPED_ALONE else ''
            texts[names[name]] = f'{kept}module {names[name]}\n{modules[name].with_names(names.get)}end\n'
        for name in unit.below:
            if modules[name].key not in keys:
                texts[names[name]] = f'attribute \\blackbox 1\nmodule {names[name]}\n{modules[name].ports()}end\n'
        own = unit_name(unit.module)
        texts[own] = f'attribute {attribute}\nmodule {own}\n{unit.module.with_names(names.get)}end\n'
    text = '\n'.join(texts[name] for name in sorted(texts))
    return text.replace('attribute \\ram_style "ultra"', 'attribute \\ram_style "block"') if flow is ECP5 else text


def cells_in(statistics: dict, name: str) -> dict[str, int]:
    """The cells of a module, type -> number, of what ``stat -json`` has written."""
    cells = statistics['modules'][name]['num_cells_by_type']
    return {kind: n for kind, n in cells.items() if not kind.startswith(('$', 'unit_', '\\'))}


def delay_in(text: str) -> float | None:
    """The delay that ``sta`` has printed, in ns."""
    found = re.findall(r'^Latest arrival time in .* is (\d+):', text, re.MULTILINE)
    return max(map(int, found)) / 1000 if found else None


# ---------------------------------------------------------------------------------------------------------------------
# Counting
# ---------------------------------------------------------------------------------------------------------------------

LUTS_OF_RAM = {
    'RAM32M16': 8, 'RAM64M8': 8, 'RAM32M': 4, 'RAM64M': 4, 'RAM32X1S': 1, 'RAM64X1S': 1, 'RAM128X1S': 2, 'RAM256X1S': 4,
    'RAM512X1S': 8, 'RAM32X1D': 2, 'RAM64X1D': 2, 'RAM128X1D': 4, 'RAM256X1D': 8, 'RAM64X8SW': 8, 'RAM32X16DR8': 8,
    'SRL16E': 1, 'SRLC32E': 1, 'SRL16': 1, 'SRLC16E': 1, 'TRELLIS_DPR16X4': 4,
}  # fmt: skip
"""LUTs of each memory of LUTs (UltraScale Architecture CLB, UG574; ECP5 sysDSP and memory guides)."""

RESOURCES = ('LUT', 'LUTRAM', 'FF', 'CARRY', 'DSP', 'BRAM_18K', 'URAM')
"""What is counted. LUT is all of them, LUTRAM those that are memories."""


def count(cells: dict[str, int]) -> Counter:
    """Resources of cells. An inverter is a LUT: where nothing takes it up it needs one."""
    counts = Counter(dict.fromkeys(RESOURCES, 0))
    for kind, n in cells.items():
        if kind in LUTS_OF_RAM:
            counts['LUTRAM'] += n * LUTS_OF_RAM[kind]
            counts['LUT'] += n * LUTS_OF_RAM[kind]
        elif re.fullmatch(r'LUT\d|INV', kind):
            counts['LUT'] += n
        elif re.fullmatch(r'FD[CPRS]E(_1)?|TRELLIS_FF', kind):
            counts['FF'] += n
        elif kind in ('CARRY4', 'CARRY8', 'CCU2C'):
            counts['CARRY'] += n
        elif kind.startswith(('DSP48', 'MULT18X18')):
            counts['DSP'] += n
        elif kind.startswith('RAMB36'):
            counts['BRAM_18K'] += 2 * n
        elif kind.startswith(('RAMB18', 'DP16KD')):
            counts['BRAM_18K'] += n
        elif kind.startswith('URAM288'):
            counts['URAM'] += n
    return counts


def total(units: dict[str, Unit], name: str) -> tuple[Counter, float | None]:
    """Resources of a unit with all below it, and the longest delay among them."""
    counts, delays = count(units[name].cells), [units[name].delay]
    for other in units[name].below:
        below, delay = total(units, other)
        counts.update(below)
        delays.append(delay)
    return counts, max((d for d in delays if d is not None), default=None)


def engine_table(units: dict[str, Unit], modules: dict[str, Module], top: str) -> list[dict]:
    """A row for each engine: its name, its module, its resources and its delay in ns; the last one is what connects them."""
    rows = []
    for instance, name in modules['\\' + top].instances.items():
        counts, delay = total(units, name)
        rows.append({'name': instance.lstrip('\\'), 'module': modules[name].base, **counts, 'delay': delay})
    rows.append({'name': '', 'module': top, **count(units['\\' + top].cells), 'delay': units['\\' + top].delay})
    return rows


def report_of(units: dict[str, Unit], modules: dict[str, Module], top: str, device: Device | None, period: float) -> dict:
    """The report of a synthesis, in the names of hls4ml's reports.

    Args:
        device: The FPGA, if a file has it.
        period: Of the clock, in ns.
    """
    counts, delay = total(units, '\\' + top)
    section = {**counts, **available(device), 'TargetClockPeriod': period, 'EstimatedClockPeriod': delay}
    return {'YosysSynthReport': section, 'Engines': engine_table(units, modules, top)}


def available(device: Device | None) -> dict:
    """What a device has, in the names of hls4ml's reports; nothing if it isn't known."""
    if device is None:
        return {}
    return {f'Available{name}': n for name, n in device.resources.items()}


def check_fit(section: dict, board: str):
    """Raises ProjectError if a section of a report has more of something than the device."""
    over = [
        f'{section[name]:,} {name} of {section[f"Available{name}"]:,}'
        for name in RESOURCES
        if section.get(f'Available{name}') is not None and section[name] > section[f'Available{name}']
    ]
    if over:
        raise ProjectError(f'the network does not fit the {board}: {", ".join(over)}. Fold it more: a larger ReuseFactor')


def synthesis_report(directory: Path, top: str, flow: Flow, device: Device | None, period: float, progress=None) -> dict:
    """Synthesizes a written project; see :func:`report_of`."""
    modules = elaborate(directory, top)
    units = units_of(modules, top)
    synthesize(units, modules, flow, progress)
    return report_of(units, modules, top, device, period)
