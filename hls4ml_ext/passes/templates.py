"""Where a project needs other files than hls4ml's templates give."""

from __future__ import annotations

from pathlib import Path

from hls4ml.model.optimizer import ModelOptimizerPass

from hls4ml_ext.errors import ExtError
from hls4ml_ext.layers.core import ExactLayer

HELPERS = '#include "firmware/nnet_utils/nnet_helpers.h"\n'


class TemplateChange(ModelOptimizerPass):
    """Changes a file of a project that has just been written; nothing in a project without layers of ours.

    Attributes:
        name: Of the pass.
        file: The file's name; ``{project}`` stands for the project's.
        changes: Pairs: what the template says, at least once, and instead.

    Raises:
        ExtError: if the template does not say it.
    """

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]

    def __init__(self):
        pass

    def transform(self, model):
        if any(isinstance(n, ExactLayer) for n in model.get_layers()):
            path = Path(model.config.get_output_dir()) / self.file.format(project=model.config.get_project_name())
            text = path.read_text()
            for before, instead in self.changes:
                if before not in text:
                    raise ExtError(
                        f"'{path}', as this version of hls4ml writes it, lacks {before.strip()!r}, in whose place "
                        f'{instead.strip()!r} belongs. Install the version of hls4ml that hls4ml-ext asks for'
                    )
                text = text.replace(before, instead)
            path.write_text(text)
        return False


class BuildScript(TemplateChange):
    """Flags for the vendor's own C simulation: the kernels are C++14, and native integers need the open ``ap_types``."""

    name = 'build_script'
    file = 'build_prj.tcl'
    changes = (('-cflags "-std=c++0x', '-cflags "-std=c++14 -DHLS4ML_EXT_AP_INT'),)


class Bridge(TemplateChange):
    """Conversions between the numbers of Python and of our C simulation that cost less than the simulation."""

    name = 'bridge'
    file = '{project}_bridge.cpp'
    changes = (
        (HELPERS, f'{HELPERS}#include "firmware/nnet_utils/nnet_bridge_ext.h"\n'),
        ('nnet::convert_data<', 'nnet::ext::convert_data<'),
    )
