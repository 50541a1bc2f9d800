"""Table of what a network takes of an FPGA, engine by engine."""

from __future__ import annotations

from rich import box
from rich.table import Table

COLUMNS = ('LUT', 'LUTRAM', 'FF', 'CARRY', 'DSP', 'BRAM_18K', 'URAM')
WHAT_IT_IS = {
    'YosysSynthReport': 'Primitives after synthesis by Yosys, before placement: LUTs that share inputs may go in pairs.',
    'VivadoSynthReport': 'After synthesis by Vivado, out of context.',
    'ImplementationReport': 'Placed and routed.',
}


def resource_table(report: dict, board: str = '') -> Table:
    """A row for each engine, a total, and its share of the device.

    Args:
        report: What ``build`` of an RTL model returned.
        board: Name of the device.
    """
    name = next(name for name in ('YosysSynthReport', 'VivadoSynthReport') if name in report)
    section = report[name]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False, caption=caption(report, name), caption_justify='left')
    table.add_column('engine', no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify='right', no_wrap=True)
    table.add_column('ns', justify='right', no_wrap=True)
    for row in report.get('Engines', []):
        if row['name'] or any(row[column] for column in COLUMNS):
            table.add_row(row['name'] or 'between them', *numbers(row), delay(row['delay']))
    table.add_section()
    table.add_row('total', *numbers(section), delay(section.get('EstimatedClockPeriod')), style='bold')
    if any(f'Available{column}' in section for column in COLUMNS):
        table.add_row(f'of the {board}' if board else 'of the device', *(share(section, column) for column in COLUMNS), '')
    return table


def numbers(row: dict) -> list[str]:
    return [f'{row[column]:,}' if row.get(column) else '' for column in COLUMNS]


def share(section: dict, column: str) -> str:
    have = section.get(f'Available{column}')
    return f'{section.get(column, 0) / have:.1%}' if have else ''


def delay(ns: float | None) -> str:
    return '' if ns is None else f'{ns:.2f}'


def caption(report: dict, name: str) -> str:
    """What the figures are, and what became of them in place and route."""
    lines = [WHAT_IT_IS[name]]
    section = report[name]
    if section.get('EstimatedClockPeriod') is not None:
        lines.append(
            'ns: cells between two registers, without wires, with the delays of a 7-series FPGA; the clock has '
            f'{section["TargetClockPeriod"]:g}.'
        )
    made = report.get('ImplementationReport', {})
    if made.get('Fmax') is not None:
        lines.append(f'Placed and routed: {made["Fmax"]:.1f} MHz, asked for {made["TargetMHz"]:g}. {made["Bitstream"]}')
    if 'TimingReport' in report:
        lines.append(f'Placed and routed by Vivado: worst slack {report["TimingReport"]["WNS"]} ns.')
    return '\n'.join(lines)
