"""Lets the vendor's tool compile a written project as it is meant to."""

from __future__ import annotations

from pathlib import Path

from hls4ml.model.optimizer import ModelOptimizerPass

from hls4ml_ext.layers.core import ExactLayer

SCRIPT = 'build_prj.tcl'

FLAGS = ('-cflags "-std=c++0x', '-cflags "-std=c++14 -DHLS4ML_EXT_AP_INT')
"""In hls4ml's script, and instead: the kernels are C++14, and the native integers of the C simulation need the open
``ap_types``, which the tool's own C simulation does not have."""


class BuildScript(ModelOptimizerPass):
    """Changes the compiler's flags in the Tcl script of a project that has just been written."""

    name = 'build_script'

    def __init__(self):
        pass

    def transform(self, model):
        script = Path(model.config.get_output_dir()) / SCRIPT
        if script.is_file() and any(isinstance(n, ExactLayer) for n in model.get_layers()):
            script.write_text(script.read_text().replace(*FLAGS))
        return False
