"""Calibration: engines are synthesized, or read from a vendor's report, and the fit of a family is made from them."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

from hls4ml_ext.cost.engine import fitted, forget
from hls4ml_ext.cost.fit import (
    EXACT,
    FITTED,
    LARGE,
    data_folder,
    errors_of,
    fit,
    is_held_out,
    of_engine,
    predict,
    refit,
    summary,
    totals,
)
from hls4ml_ext.cost.sweep import engines_of_networks, engines_of_sweep
from hls4ml_ext.cost.synthesis import count_project, synthesize_engines
from hls4ml_ext.errors import ExtError
from hls4ml_ext.files import write_json
from hls4ml_ext.rtl.project import FILES
from hls4ml_ext.rtl.yosys import yosys_version

SWEEP = 'sweep'
"""The source of engines that were drawn; that of others is the name of their network."""


def calibrate(family: str, refit_only: bool = False, output: Path | None = None, progress=None) -> dict:
    """Synthesizes the engines of the sweep and of the networks of this repository, and fits the family to them.

    Engines are synthesized once: a second call takes minutes less.

    Args:
        family: One of :data:`FAMILIES`.
        refit_only: Take the data as they are.
        output: Folder of data and fit; None is the one that estimates read.
        progress: Called with the number of modules that are synthesized, of how many, and the name of one.

    Returns:
        The fit: ``coefficients`` and ``errors``.

    Raises:
        ExtError: if the family is not known, or there are no data to refit.
        ProjectError: if Yosys is missing or fails.
    """
    if family not in FAMILIES:
        known = ', '.join(FAMILIES)
        raise ExtError(f"the family '{family}' can't be calibrated; it is one of {known}")
    folder = Path(output) if output else data_folder()
    data = read_data(family, folder)
    if not refit_only:
        engines = [(SWEEP, engine) for engine in engines_of_sweep()]
        if family in NETWORKS:
            engines += [(name, engine) for name, found in engines_of_networks().items() for engine in distinct(found)]
        rows = synthesize_engines([engine for _, engine in engines], family, progress)
        data['engines'] = [{'source': source, **row} for (source, _), row in zip(engines, rows)]
        data['yosys'] = yosys_version()
    if not data['engines']:
        raise ExtError(f"there are no data of the family '{family}' in '{folder}' to refit")
    return save(family, data, folder)


FAMILIES = ('xcup', 'ecp5')
"""Families that can be calibrated."""

NETWORKS = ('xcup',)
"""Families for which the engines of the networks of this repository are synthesized, too."""


def distinct(engines: list[tuple[str, dict]]) -> list[tuple[str, dict]]:
    """Engines without those that are there twice."""
    return list({json.dumps(engine, sort_keys=True): engine for engine in engines}.values())


def save(family: str, data: dict, folder: Path) -> dict:
    """Fits a family to data, and writes both."""
    made = make_fit(data, family)
    folder.mkdir(parents=True, exist_ok=True)
    write_data(family, data, folder)
    write_json(folder / f'{family}_fit.json', made)
    forget()
    return made


def make_fit(data: dict, family: str) -> dict:
    """The fit that follows from data.

    The engines of the sweep are divided by :func:`~hls4ml_ext.cost.fit.is_held_out`; those of networks are all held out.

    Returns:
        ``coefficients``; ``errors``: those of engines that were not in the fit, and of networks; ``yosys``, its version.
    """
    rows = data['engines']
    held = [row for row in rows if row['source'] != SWEEP or is_held_out(row)]
    coefficients = fit([row for row in rows if row['source'] == SWEEP and not is_held_out(row)], family)
    errors = {'engines': {name: summary(found) for name, found in errors_of(held, family, coefficients).items()}}
    large = [row for row in held if totals(row)['LUT'] >= LARGE]
    errors['large'] = {name: summary(found) for name, found in errors_of(large, family, coefficients).items() if found}
    errors['networks'] = {name: network_error(name, data, family, coefficients) for name in data.get('networks', {})}
    return {'yosys': data.get('yosys', ''), 'coefficients': coefficients, 'errors': errors}


def network_error(name: str, data: dict, family: str, coefficients: dict) -> dict[str, float]:
    """LUT, FF -> the error of the sum of all engines of a network against its synthesis as a whole."""
    network = data['networks'][name]
    total = Counter()
    for module, parameters in network['engines']:
        total.update(predict(*of_engine({'module': module, 'parameters': parameters}, family), coefficients))
    return {resource: round(total[resource] / network['counts'][resource] - 1, 4) for resource in FITTED}


def measure_network(name: str, directory: Path, family: str, output: Path | None = None, progress=None) -> dict:
    """Synthesizes a written RTL project as a whole, with its own ROMs, and keeps its counts with the data of a family.

    Args:
        name: What to call it.
        directory: Of the project.

    Returns:
        The fit of the family; its errors tell the one of this network.
    """
    folder = Path(output) if output else data_folder()
    data, directory = read_data(family, folder), Path(directory)
    engines = [(module, parameters) for _, module, parameters in engines_in_project(directory)]
    data['networks'][name] = {'engines': engines, 'counts': count_project(directory, family, progress)}
    return save(family, data, folder)


# ---------------------------------------------------------------------------------------------------------------------
# Data
# ---------------------------------------------------------------------------------------------------------------------


def read_data(family: str, folder: Path | None = None) -> dict:
    """The data of a family: ``engines``, ``networks``, and the version of Yosys."""
    path = (folder or data_folder()) / f'{family}.json'
    if not path.is_file():
        return {'yosys': '', 'engines': [], 'networks': {}}
    return json.loads(path.read_text(encoding='utf-8'))


def write_data(family: str, data: dict, folder: Path):
    """Writes data, an engine a line."""
    engines = ',\n'.join(json.dumps(row) for row in data['engines'])
    networks = ',\n'.join(f'{json.dumps(name)}: {json.dumps(network)}' for name, network in sorted(data['networks'].items()))
    text = f'{{"yosys": {json.dumps(data["yosys"])},\n"networks": {{\n{networks}\n}},\n"engines": [\n{engines}\n]}}\n'
    (folder / f'{family}.json').write_text(text, encoding='utf-8')


# ---------------------------------------------------------------------------------------------------------------------
# Reports of a vendor's tool
# ---------------------------------------------------------------------------------------------------------------------

INSTANCE = re.compile(r'^ {4}(\w+) #\(\n(.*?)\) (\w+) \(\n', re.MULTILINE | re.DOTALL)
SETTING = re.compile(r'\.(\w+)\(([^()]*)\)')
COLUMNS = {
    'LUT': ('Total LUTs',), 'LUTRAM': ('LUTRAMs', 'SRLs'), 'FF': ('FFs',), 'DSP': ('DSP Blocks', 'DSP48 Blocks', 'DSPs'),
    'URAM': ('URAM',),
}  # fmt: skip
"""What `report_utilization -hierarchical` of Vivado calls what is counted (UG906); block RAMs are RAMB36 and RAMB18."""


def engines_in_project(directory: Path) -> list[tuple[str, str, dict]]:
    """The engines of a written RTL project: (name of the instance, module, parameters).

    Raises:
        ExtError: if there is no project, or no engine in it.
    """
    directory = Path(directory)
    try:
        top = directory / (directory / FILES).read_text(encoding='utf-8').split()[-1]
        text = top.read_text(encoding='utf-8')
    except OSError as e:
        raise ExtError(f"'{directory}' is not a written RTL project: {e}") from None
    found = []
    for module, settings, name in INSTANCE.findall(text):
        values = {key: value_of(value) for key, value in SETTING.findall(settings)}
        found.append((name, module, {key: value for key, value in values.items() if value is not None}))
    if not found:
        raise ExtError(f"there is no engine in '{top}'")
    return found


def value_of(text: str):
    """The value of a parameter as a top has it; None for a file."""
    if text.startswith('{'):
        return None
    if text.startswith('"'):
        return text.strip('"')
    if text in ("1'b0", "1'b1"):
        return text.endswith('1')
    return text if "'" in text else int(text)


def counts_in_report(text: str) -> dict[str, dict[str, int]]:
    """The rows of a hierarchical report of Vivado (``report_utilization -hierarchical``): instance -> counts.

    Raises:
        ExtError: if there is no such table in it.
    """
    header, found = None, {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split('|')[1:-1]]
        if 'Instance' in cells and 'Total LUTs' in cells:
            header = cells
        elif header and len(cells) == len(header):
            row = dict(zip(header, cells))
            counts = {}
            for name, columns in COLUMNS.items():
                present = [int(row[column]) for column in columns if column in row]
                if present:
                    counts[name] = sum(present)
            counts['BRAM_18K'] = 2 * int(row.get('RAMB36', 0)) + int(row.get('RAMB18', 0))
            found.setdefault(row['Instance'], counts)
    if not found:
        raise ExtError("the report has no table 'Utilization by Hierarchy': report_utilization -hierarchical writes one")
    return found


def rows_of_report(text: str, directory: Path) -> list[dict]:
    """The engines of a project with the counts of a report: rows for a fit.

    Args:
        text: Of the report.
        directory: Of the written RTL project that was synthesized.

    Raises:
        ExtError: if the report names none of its engines.
    """
    counts = counts_in_report(text)
    rows = [
        {'source': 'report', 'module': module, 'parameters': parameters, 'counts': counts[name]}
        for name, module, parameters in engines_in_project(directory)
        if name in counts
    ]
    if not rows:
        raise ExtError(
            f"the report names no engine of the project in '{directory}'. Was it synthesized without its hierarchy?"
        )
    return rows


def calibrate_to_reports(family: str, reports: list[tuple[str, Path]], output: Path | None = None) -> dict:
    """Fits a family to a vendor's numbers.

    A report has few engines: coefficients move from those that the family has no further than the report says, see
    :func:`~hls4ml_ext.cost.fit.refit`. The errors are those of engines of the reports that were left out in turn.

    Args:
        reports: (text of a report, folder of its project).
        output: Folder of the new fit; None is the one that estimates read.

    Returns:
        The new fit.
    """
    rows = [row for text, directory in reports for row in rows_of_report(text, directory)]
    before = fitted(family)['coefficients']
    errors = {resource: [] for resource in FITTED}
    for fold in range(4):  # each engine is predicted by a fit without it
        left_out = rows[fold::4]
        kept = [row for i, row in enumerate(rows) if i % 4 != fold]
        if left_out and kept:
            for resource, found in errors_of(left_out, family, refit(kept, family, before)).items():
                errors[resource] += found
    made = {
        'reports': len(reports),
        'coefficients': refit(rows, family, before),
        'errors': {
            'engines': {name: summary(found) for name, found in errors.items() if found},
            'large': {},
            'networks': {},
        },
    }
    folder = Path(output) if output else data_folder()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / f'{family}_fit.json', made)
    forget()
    return made


def rules_broken(rows: list[dict], family: str) -> list[str]:
    """Where rules for memories and multipliers differ from counts, in words."""
    broken = []
    for row in rows:
        counts = Counter(row.get('counts', {}))
        for found in row.get('units', {}).values():
            counts.update(found)
        exact = of_engine(row, family)[1]
        for name in EXACT:
            if counts[name] != exact[name]:
                broken.append(f'{row["module"]} {row["parameters"]}: {counts[name]} {name}, not {exact[name]}')
    return broken
