"""The ports of a top are AXI-Streams: a master and a slave that nobody here wrote drive it."""

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from exactness import images
from rtl import convert_to_rtl, separate

import hls4ml_ext
from hls4ml_ext.fixed import FixedType
from hls4ml_ext.rtl.packing import pack, unpack
from hls4ml_ext.rtl.verilator import verilator_root

MISSING = [tool for tool in ('perl', 'make', 'g++') if shutil.which(tool) is None]
MISSING += [name for name in ('cocotb', 'cocotbext') if importlib.util.find_spec(name) is None]


@pytest.mark.slow
@pytest.mark.skipif(bool(MISSING), reason=f"cocotb's runner of Verilator needs {', '.join(MISSING)}")
def test_cocotbext_axi_drives_the_top(tmp_path, monkeypatch):
    from cocotb_tools.runner import get_runner
    from qkeras import QActivation, QConv2D

    layers = [
        QConv2D(6, 3, padding='same', kernel_quantizer='quantized_bits(4,0,alpha=1)', use_bias=False),
        QActivation('quantized_relu(7,2)'),
    ]
    model = separate((5, 6, 3), {'conv': layers})
    hls_model = convert_to_rtl(model, tmp_path / 'project', reuse=8, part='xczu7ev-ffvc1156-2-e')
    hls_model.write()
    x = images((5, 6, 3), 1)[:6]
    (source,), (result,) = hls_model.get_input_variables(), hls_model.get_output_variables()
    t, lanes = FixedType.from_hls4ml(source.type.precision), source.type.n_elem
    np.save(tmp_path / 'beats.npy', pack(t.quantize(x), t, lanes)[:, : (lanes * t.width + 7) // 8])
    t, lanes = FixedType.from_hls4ml(result.type.precision), result.type.n_elem
    wanted = len(x) * 5 * 6 * 6 // lanes

    monkeypatch.setenv('VERILATOR_ROOT', str(verilator_root()))
    monkeypatch.setenv('PATH', f'{verilator_root() / "bin"}{os.pathsep}{os.environ["PATH"]}')
    monkeypatch.setenv('PYTHONPATH', str(Path(__file__).parent))
    project = tmp_path / 'project'
    top = hls_model.config.get_project_name()
    runner = get_runner('verilator')
    runner.build(
        sources=[project / line for line in (project / 'files.f').read_text().split()], hdl_toplevel=top,
        build_dir=tmp_path / 'build', build_args=['-Wno-fatal', f'-GROMS="{project / "roms"}"'], timescale=('1ns', '1ps'),
    )  # fmt: skip
    environment = {
        'BEATS': str(tmp_path / 'beats.npy'), 'TAKEN': str(tmp_path / 'taken.npy'), 'WANTED': str(wanted),
        'INPUT': source.name, 'OUTPUT': result.name,
    }  # fmt: skip
    runner.test(hdl_toplevel=top, test_module='axi_bench', build_dir=tmp_path / 'build', extra_env=environment)
    assert (unpack(np.load(tmp_path / 'taken.npy'), t, lanes).reshape(len(x), 5, 6, 6) == hls4ml_ext.predict(model, x)).all()
