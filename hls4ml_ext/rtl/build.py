"""``build`` of the RTL back end: from a written project to resources, and where there is an open flow to a bitstream."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from hls4ml_ext.devices import device_of_part
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.files import write_json
from hls4ml_ext.rtl.synthesis import check_fit, synthesis_report, xilinx_flow

REPORT = 'build_report.json'
"""In the folder of the project: what :func:`build_project` returned."""

FAMILIES = (
    (r'xczu|xc[kv]u\d+p|xck26|xcu\d|xa[zk]u', 'xcup'),
    (r'xc[kv]u', 'xcu'),
    (r'xc7|xa7|xq7', 'xc7'),
)
"""How the parts of AMD's families begin, and what Yosys calls them."""


def build_project(model, tool: str | None = None, bitstream: bool = True, progress=None) -> dict:
    """Builds a written project for the part of its configuration.

    Parts of AMD's are synthesized by Vivado, if it is on PATH, or by Yosys; ECP5s go through Yosys and nextpnr to a
    bitstream.

    Args:
        model: The hls4ml model.
        tool: 'yosys' or 'vivado', where there is a choice.
        bitstream: Whether to place and route where an open flow can.
        progress: Called with what is done, of how many, and what it was; (None, None, what) as a longer step begins.

    Returns:
        The report: ``YosysSynthReport`` and ``Engines``, or ``VivadoSynthReport``; ``ImplementationReport``, if it was
        placed.

    Raises:
        ProjectError: if no flow serves the part, a tool is missing or fails, or the network doesn't fit.
    """
    from hls4ml_ext.rtl import place_and_route, vivado

    part, period = str(model.config.get_config_value('Part')), float(model.config.get_config_value('ClockPeriod'))
    directory, top = Path(model.config.get_output_dir()), model.config.get_project_name()
    if tool not in (None, 'yosys', 'vivado'):
        raise ProjectError(f"tool {tool!r} is not 'yosys' or 'vivado'")
    device, family = device_of_part(part), family_of(part)
    board = device.board if device else part
    if family == 'ecp5':
        if tool == 'vivado':
            raise ProjectError(f"Vivado doesn't know the part '{part}'")
        if bitstream:
            report = place_and_route.place_and_route(model, part, period, progress)
        else:
            report = synthesis_report(directory, top, place_and_route.ECP5, device, period, progress)
            check_fit(report['YosysSynthReport'], board)
        write_json(directory / REPORT, report)
        return report
    if tool == 'vivado' or (tool is None and shutil.which('vivado')):
        report = vivado.build(directory, top, part, period, progress)
        write_json(directory / REPORT, report)
        return report
    report = synthesis_report(directory, top, xilinx_flow(family), device, period, progress)
    write_json(directory / REPORT, report)
    check_fit(report['YosysSynthReport'], board)
    return report


def family_of(part: str) -> str:
    """What Yosys calls the family of a part.

    Raises:
        ProjectError: if no flow serves it.
    """
    from hls4ml_ext.rtl.place_and_route import PART

    if PART.fullmatch(part):
        return 'ecp5'
    for pattern, family in FAMILIES:
        if re.match(pattern, part.lower()):
            return family
    raise ProjectError(
        f"no flow serves the part '{part}': UltraScale+, UltraScale and 7-series parts of AMD's (xczu7ev-ffvc1156-2-e) are "
        'synthesized, ECP5 parts (LFE5U-85F-6BG381C) placed and routed, too'
    )
