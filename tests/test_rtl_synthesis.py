"""``build`` of the RTL back end: counts, fits, failures of tools."""

import importlib.util
import json
import stat

import pytest
from exactness import INPUT, convert, randomize

from hls4ml_ext.devices import device_of_part, load_device
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.report.resources import resource_table
from hls4ml_ext.rtl import synthesis, vivado, yosys
from hls4ml_ext.rtl.build import build_project, family_of
from hls4ml_ext.rtl.place_and_route import clock_of, nextpnr_arguments

needs_yosys = pytest.mark.skipif(importlib.util.find_spec('pyosys') is None, reason='needs pyosys (hls4ml-ext[rtl])')


def network(channels=4, filters=3):
    import keras
    from qkeras import QActivation, QDense

    quantizers = {'kernel_quantizer': 'quantized_bits(4,0,alpha=1)', 'bias_quantizer': 'quantized_bits(8,0,alpha=1)'}
    inputs = keras.Input((channels,))
    x = QDense(filters, name='d', **quantizers)(QActivation(INPUT)(inputs))
    return randomize(keras.Model(inputs, QActivation('quantized_relu(8,2)')(x)))


def written(directory, part='xczu7ev-ffvc1156-2-e', reuse=4):
    hls_model = convert(network(), directory, backend='RTL', reuse=reuse, part=part)
    hls_model.write()
    return hls_model


@needs_yosys
@pytest.mark.slow
def test_build(tmp_path):
    """Counts of the network are the sums of those of its engines; what has been synthesized is not synthesized again."""
    hls_model = written(tmp_path / 'p')
    steps = []
    report = hls_model.build(tool='yosys', progress=lambda *step: steps.append(step))
    section, engines = report['YosysSynthReport'], report['Engines']
    for name in synthesis.RESOURCES:
        assert section[name] == sum(engine[name] for engine in engines)
    assert section['LUT'] > 50 and section['FF'] > 50 and section['DSP'] == 0
    assert 0.5 < section['EstimatedClockPeriod'] < 5
    assert section['AvailableLUT'] == 230400
    assert steps[-1][0] == steps[-1][1] == len(steps)
    assert json.loads((tmp_path / 'p' / 'build_report.json').read_text()) == report
    table = resource_table(report, 'ZCU104')
    assert table.row_count >= 3 and 'before placement' in table.caption

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(synthesis, '_synthesize', None)
        assert hls_model.build(tool='yosys') == report


@needs_yosys
def test_units_are_independent_of_names_and_places(tmp_path):
    """The same module has the same key in another project, in another folder; other weights have another one."""
    keys = []
    for name in ('a', 'b'):
        hls_model = written(tmp_path / name)
        modules = synthesis.elaborate(tmp_path / name, hls_model.config.get_project_name())
        keys.append({module.base: module.key for module in modules.values() if module.base != 'myproject'})
    assert keys[0] == keys[1]
    (rom,) = (tmp_path / 'b' / 'roms').glob('w*.hex')
    rom.write_text(rom.read_text().translate(str.maketrans('0123456789', '1032547698')))
    modules = synthesis.elaborate(tmp_path / 'b', hls_model.config.get_project_name())
    changed = {module.base for module in modules.values() if keys[0].get(module.base) != module.key}
    assert 'ext_matvec' in changed and 'ext_dot' not in changed


@needs_yosys
def test_failure_of_yosys(tmp_path):
    with pytest.raises(ProjectError, match='Yosys failed: .*ERROR.*no_such.* output is in .*yosys.log'):
        yosys.run_yosys(['read_verilog no_such.v'], tmp_path)


def test_missing_yosys(tmp_path, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr('importlib.util.find_spec', lambda name, *a: None if name == 'pyosys' else find_spec(name, *a))
    yosys.yosys_version.cache_clear()
    with pytest.raises(ProjectError, match=r'needs Yosys \(pip install hls4ml-ext\[rtl\]\)'):
        yosys.run_yosys([], tmp_path)


def test_does_not_fit():
    section = {
        **dict.fromkeys(synthesis.RESOURCES, 0),
        'LUT': 300_000,
        'URAM': 1,
        **synthesis.available(load_device('zcu104')),
    }
    with pytest.raises(ProjectError, match='does not fit the ZCU104: 300,000 LUT of 230,400. Fold it more'):
        synthesis.check_fit(section, 'ZCU104')
    synthesis.check_fit({**section, 'LUT': 230_400}, 'ZCU104')


def test_count():
    cells = {
        'LUT6': 3,
        'INV': 1,
        'RAM32M16': 2,
        'SRL16E': 5,
        'FDRE': 7,
        'CARRY4': 2,
        'DSP48E2': 4,
        'RAMB18E2': 1,
        'RAMB36E2': 2,
    }
    counts = synthesis.count({**cells, 'URAM288': 6, 'MUXF7': 9})
    assert dict(counts) == {'LUT': 25, 'LUTRAM': 21, 'FF': 7, 'CARRY': 2, 'DSP': 4, 'BRAM_18K': 5, 'URAM': 6}


@pytest.mark.parametrize(
    'part, family',
    [('xczu7ev-ffvc1156-2-e', 'xcup'), ('xcvu9p-flga2104-2L-e', 'xcup'), ('xcu250-figd2104-2L-e', 'xcup'),
     ('xcku115-flvb2104-2-i', 'xcu'), ('xc7z020clg400-1', 'xc7'), ('LFE5U-85F-6BG381C', 'ecp5')],
)  # fmt: skip
def test_families(part, family):
    assert family_of(part) == family


def test_no_flow(tmp_path):
    with pytest.raises(ProjectError, match="no flow serves the part '10AX115N2F45E1SG'"):
        family_of('10AX115N2F45E1SG')
    with pytest.raises(ProjectError, match="Vivado doesn't know the part 'LFE5U-85F-6BG381C'"):
        build_project(written(tmp_path / 'p', 'LFE5U-85F-6BG381C'), tool='vivado')


def test_ecp5_parts():
    assert nextpnr_arguments('LFE5U-85F-6BG381C') == ['--85k', '--package', 'CABGA381', '--speed', '6']
    assert nextpnr_arguments('LFE5UM5G-45F-8BG554I') == ['--um5g-45k', '--package', 'CABGA554', '--speed', '8']
    assert device_of_part('LFE5U-85F-6BG381C').board == 'ULX3S'
    assert device_of_part('LFE5U-25F-6BG381C') is None


@pytest.mark.parametrize('period, mhz', [(10, 100), (8, 125), (40, 25), (7, 137.5), (20, 50), (80, 12.5)])
def test_clocks(period, mhz):
    clock = clock_of(period)
    assert clock.mhz == mhz and 400 <= clock.mhz * clock.output <= 800


# ---------------------------------------------------------------------------------------------------------------------
# Vivado
# ---------------------------------------------------------------------------------------------------------------------

UTILIZATION = """
1. CLB Logic
------------

+----------------------------+-------+-------+------------+-----------+-------+
|          Site Type         |  Used | Fixed | Prohibited | Available | Util% |
+----------------------------+-------+-------+------------+-----------+-------+
| CLB LUTs*                  | 12345 |     0 |          0 |    230400 |  5.36 |
|   LUT as Logic             | 12000 |     0 |          0 |    230400 |  5.21 |
|   LUT as Memory            |   345 |     0 |          0 |    101760 |  0.34 |
| CLB Registers              | 23456 |     0 |          0 |    460800 |  5.09 |
|   Register as Flip Flop    | 23456 |     0 |          0 |    460800 |  5.09 |
| CARRY8                     |   678 |     0 |          0 |     28800 |  2.35 |
| F7 Muxes                   |     9 |     0 |          0 |    115200 | <0.01 |
+----------------------------+-------+-------+------------+-----------+-------+

3. BLOCKRAM
-----------

+-------------------+------+-------+------------+-----------+-------+
|     Site Type     | Used | Fixed | Prohibited | Available | Util% |
+-------------------+------+-------+------------+-----------+-------+
| Block RAM Tile    | 30.5 |     0 |          0 |       312 |  9.78 |
|   RAMB36/FIFO*    |   20 |     0 |          0 |       312 |  6.41 |
|   RAMB18          |   21 |     0 |          0 |       624 |  3.37 |
| URAM              |    8 |     0 |          0 |        96 |  8.33 |
+-------------------+------+-------+------------+-----------+-------+

4. ARITHMETIC
-------------

+----------------+------+-------+------------+-----------+-------+
|    Site Type   | Used | Fixed | Prohibited | Available | Util% |
+----------------+------+-------+------------+-----------+-------+
| DSPs           |   64 |     0 |          0 |      1728 |  3.70 |
|   DSP48E2 only |   64 |       |            |           |       |
+----------------+------+-------+------------+-----------+-------+
"""

TIMING = """
------------------------------------------------------------------------------------------------
| Design Timing Summary
| ---------------------
------------------------------------------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  THS Failing Endpoints
    -------      -------  ---------------------  -------------------      -------      -------  ---------------------
      {wns}        0.000                      0                45678        0.012        0.000                      0
"""

COUNTS = {'LUT': 12345, 'LUTRAM': 345, 'FF': 23456, 'CARRY': 678, 'BRAM_18K': 61, 'URAM': 8, 'DSP': 64}


def test_reports_of_vivado():
    found = vivado.read_utilization(UTILIZATION)
    assert {name: found[name] for name in COUNTS} == COUNTS
    assert (found['AvailableLUT'], found['AvailableBRAM_18K'], found['AvailableDSP']) == (230400, 624, 1728)
    assert vivado.read_timing(TIMING.format(wns='0.345')) == {'WNS': 0.345, 'WHS': 0.012, 'TimingMet': True}
    assert not vivado.read_timing(TIMING.format(wns='-0.345'))['TimingMet']
    with pytest.raises(ProjectError, match='no table of LUTs'):
        vivado.read_utilization('')
    with pytest.raises(ProjectError, match='no summary'):
        vivado.read_timing('')


FAKE = """#!/bin/sh
test "$*" = "-mode batch -nojournal -nolog -source vivado.tcl" || exit 3
{body}
"""


def fake_vivado(tmp_path, monkeypatch, body):
    """A program of that name on PATH."""
    tool = tmp_path / 'bin' / 'vivado'
    tool.parent.mkdir()
    tool.write_text(FAKE.format(body=body))
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv('PATH', f'{tool.parent}:/usr/bin:/bin')


def test_vivado_project(tmp_path, monkeypatch):
    """With a Vivado that only leaves reports: what is written for it, and what is read."""
    (tmp_path / 'u.rpt').write_text(UTILIZATION)
    (tmp_path / 't.rpt').write_text(TIMING.format(wns='0.345'))
    copies = f'cp {tmp_path}/u.rpt vivado_synth.rpt; cp {tmp_path}/u.rpt vivado_utilization.rpt; '
    fake_vivado(tmp_path, monkeypatch, f'{copies} cp {tmp_path}/t.rpt vivado_timing.rpt; touch vivado.done')
    report = written(tmp_path / 'p').build()
    assert {name: report['VivadoSynthReport'][name] for name in COUNTS} == COUNTS
    assert report['TimingReport']['TimingMet']
    assert resource_table(report, 'ZCU104').row_count == 2
    script = (tmp_path / 'p' / 'vivado.tcl').read_text()
    assert '-mode out_of_context' in script and 'rtl/ext_matvec.sv' in script and '-part xczu7ev-ffvc1156-2-e' in script
    assert f'parameter ROMS = "{tmp_path}/p/roms"' in (tmp_path / 'p' / 'myproject_vivado.sv').read_text()
    assert (tmp_path / 'p' / 'clock.xdc').read_text() == 'create_clock -period 5 -name clk [get_ports clk]\n'


def test_failure_of_vivado(tmp_path, monkeypatch):
    fake_vivado(tmp_path, monkeypatch, "echo 'ERROR: [Common 17-345] A valid license was not found'; exit 1")
    hls_model = written(tmp_path / 'p')
    with pytest.raises(ProjectError, match='Vivado failed: ERROR: .*license was not found.*vivado_build.log'):
        hls_model.build()
    (tmp_path / 'bin' / 'vivado').write_text('#!/bin/sh\nkill -9 $$\n')
    with pytest.raises(ProjectError, match='Vivado was ended by signal 9. All of its output'):
        hls_model.build()
    (tmp_path / 'bin' / 'vivado').write_text('#!/bin/sh\nexit 0\n')
    with pytest.raises(ProjectError, match='Vivado ended before its script did'):
        hls_model.build()


def test_no_vivado(tmp_path, monkeypatch):
    monkeypatch.setenv('PATH', '/usr/bin:/bin')
    with pytest.raises(ProjectError, match="Vivado is not on PATH. '.*vivado.tcl' is what it would run"):
        written(tmp_path / 'p').build(tool='vivado')


@needs_yosys
def test_incomplete_project(tmp_path):
    """Files that are missing; ROMs that have no words."""
    hls_model = written(tmp_path / 'p')
    (rom,) = (tmp_path / 'p' / 'roms').glob('w*.hex')
    rom.unlink()
    with pytest.raises(ProjectError, match='Yosys failed: .*ERROR:.*hex.* output is in .*elaboration-myproject.log'):
        hls_model.build(tool='yosys')
    (tmp_path / 'p' / 'rtl' / 'ext_rom.sv').unlink()
    with pytest.raises(ProjectError, match='is not complete: .*ext_rom.sv.*Write it again'):
        hls_model.build(tool='yosys')
    (tmp_path / 'p' / 'files.f').unlink()
    with pytest.raises(ProjectError, match='is not complete: .*files.f.*Write it again'):
        hls_model.build(tool='yosys')
