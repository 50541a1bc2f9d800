"""Vivado, where it is installed: a project that synthesizes and implements a network out of context, and its reports.

The Tcl and the reader of the reports follow Vivado's documentation (UG835, UG906). They have not been run with the
tool itself.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.rtl.project import CONSTRAINTS, FILES, ROMS
from hls4ml_ext.rtl.yosys import call

SCRIPT = 'vivado.tcl'
SYNTHESIS, UTILIZATION, TIMING, DONE = 'vivado_synth.rpt', 'vivado_utilization.rpt', 'vivado_timing.rpt', 'vivado.done'

ROWS = {
    'LUT': r'(?:CLB|Slice) LUTs\*?',
    'LUTRAM': r'LUT as Memory',
    'FF': r'(?:CLB|Slice) Registers',
    'CARRY': r'CARRY8',
    'BRAM': r'Block RAM Tile',
    'URAM': r'URAM',
    'DSP': r'DSPs',
}
"""What a table of `report_utilization` calls what is counted."""


def write_vivado_project(directory: Path, top: str, part: str):
    """Writes the Tcl script of a written project."""
    try:
        sources = (directory / FILES).read_text(encoding='utf-8').split()
    except OSError as e:
        raise ProjectError(f"the project in '{directory}' is not complete: {e}. Write it again: hls_model.write()") from None
    text = (directory / sources[-1]).read_text(encoding='utf-8')  # the top; Vivado looks for files in folders of its own
    roms = str((directory / ROMS).resolve())
    (directory / f'{top}_vivado.sv').write_text(
        text.replace(f'parameter ROMS = "{ROMS}"', f'parameter ROMS = "{roms}"'), 'utf-8'
    )
    sources = [*sources[:-1], f'{top}_vivado.sv']
    lines = [
        '# Synthesis and implementation out of context; run in this folder: vivado -mode batch -source vivado.tcl',
        f'create_project -force -part {part} {top}_vivado vivado',
        f'add_files -norecurse {{{" ".join(sources)}}}',
        f'add_files -fileset constrs_1 -norecurse {CONSTRAINTS}',
        f'set_property top {top} [current_fileset]',
        f'synth_design -top {top} -part {part} -mode out_of_context -flatten_hierarchy rebuilt',
        f'report_utilization -file {SYNTHESIS}',
        'opt_design',
        'place_design',
        'phys_opt_design',
        'route_design',
        f'report_utilization -file {UTILIZATION}',
        f'report_timing_summary -file {TIMING}',
        f'write_checkpoint -force {top}.dcp',
        f'close [open {DONE} w]',
    ]
    (directory / SCRIPT).write_text('\n'.join(lines) + '\n', encoding='utf-8')


def build(directory: Path, top: str, part: str, period: float, progress=None) -> dict:
    """Runs Vivado on a written project.

    Returns:
        ``VivadoSynthReport``, ``ImplementationReport`` and ``TimingReport``.

    Raises:
        ProjectError: if it is not there or fails.
    """
    write_vivado_project(directory, top, part)
    if shutil.which('vivado') is None:
        raise ProjectError(
            f"Vivado is not on PATH. '{directory / SCRIPT}' is what it would run; tool='yosys' needs no Vivado"
        )
    for file in (DONE, SYNTHESIS, UTILIZATION, TIMING):
        (directory / file).unlink(missing_ok=True)
    if progress:
        progress(None, None, 'Vivado')
    call('Vivado', ['vivado', '-mode', 'batch', '-nojournal', '-nolog', '-source', SCRIPT], directory, 'vivado_build.log')
    if not (directory / DONE).is_file():
        raise ProjectError(f'Vivado ended before its script did. All of its output is in {directory / "vivado_build.log"}')
    return read_reports(directory)


def read_reports(directory: Path) -> dict:
    """Reads the reports of a finished build."""
    return {
        'VivadoSynthReport': read_utilization((directory / SYNTHESIS).read_text(encoding='utf-8')),
        'ImplementationReport': read_utilization((directory / UTILIZATION).read_text(encoding='utf-8')),
        'TimingReport': read_timing((directory / TIMING).read_text(encoding='utf-8')),
    }


def read_utilization(text: str) -> dict:
    """The counts of `report_utilization`, in the names of hls4ml's reports, and what the device has.

    Raises:
        ProjectError: if there is no table in it.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split('|')[1:-1]]
        if len(cells) < 5 or not re.fullmatch(r'[\d.]+', cells[1]):
            continue
        for name, pattern in ROWS.items():
            if name not in found and re.fullmatch(pattern, cells[0]):
                found[name] = float(cells[1])
                if re.fullmatch(r'[\d.]+', cells[-2]):
                    found[f'Available{name}'] = float(cells[-2])
    if 'LUT' not in found:
        raise ProjectError('a report of Vivado has no table of LUTs')
    for prefix in ('', 'Available'):
        if f'{prefix}BRAM' in found:
            found[f'{prefix}BRAM_18K'] = 2 * found.pop(f'{prefix}BRAM')
    return {name: int(n) for name, n in found.items()}


def read_timing(text: str) -> dict:
    """Worst slacks of `report_timing_summary`, in ns: of setup and hold.

    Raises:
        ProjectError: if they are not in it.
    """
    lines = text.splitlines()
    for i, line in enumerate(lines):
        names = re.split(r'\s{2,}', line.strip())
        if names[:2] == ['WNS(ns)', 'TNS(ns)']:
            values = dict(zip(names, lines[i + 2].split()))
            setup, hold = number(values['WNS(ns)']), number(values['WHS(ns)'])
            return {'WNS': setup, 'WHS': hold, 'TimingMet': all(slack is None or slack >= 0 for slack in (setup, hold))}
    raise ProjectError('a report of Vivado has no summary of its timing')


def number(text: str) -> float | None:
    """A slack; None if there is no path."""
    return None if text == 'NA' else float(text)
