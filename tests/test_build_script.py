"""The script for the vendor's tool: C++14, and the hardware's integers in its own C simulation."""

import re

import pytest
from exactness import branches, convert, quietly
from qkeras import QActivation

from hls4ml_ext.layers.core import ExactLayer


@pytest.mark.parametrize('backend', ['Vitis', 'Vivado'])
def test_flags_of_the_vendors_compiler(backend, tmp_path):
    hls_model = convert(
        branches((2, 2, 2), {'a': QActivation('quantized_relu(4,1)', name='a')}), tmp_path / 'p', backend=backend
    )
    assert any(isinstance(n, ExactLayer) for n in hls_model.get_layers())
    quietly(hls_model.write)
    flags = re.findall(r'-cflags "(.*?)"', (tmp_path / 'p' / 'build_prj.tcl').read_text())
    assert len(flags) == 3
    assert all(flag.startswith('-std=c++14 -DHLS4ML_EXT_AP_INT') for flag in flags)
