"""Compilers for the tests: a quick C simulation, and clang's warnings.

hls4ml's own ``build_lib.sh`` takes 10 s for a small project, nearly all of it in stock headers, at -O3. The tests compile
one translation unit instead of two, at -O1, as C++14 (which Vitis HLS has), with the stock headers precompiled: 3 s.
"""

from __future__ import annotations

import ctypes
import hashlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

FLAGS = ['-std=c++14', '-O1', '-fPIC', '-fno-gnu-unique']
HEADERS = (
    'algorithm', 'cmath', 'cstdint', 'fstream', 'iostream', 'map', 'sstream', 'string', 'type_traits', 'vector',
    'ap_fixed.h', 'ap_int.h', 'hls_stream.h',
)  # fmt: skip
HARDWARE_INTEGERS = '-DHLS4ML_EXT_AP_INT'
"""Makes the kernels compute on ap_int, as in hardware."""


def ap_types() -> Path:
    import hls4ml

    return Path(hls4ml.__file__).parent / 'templates' / 'vivado' / 'ap_types'


def precompile(directory: Path) -> Path:
    """Precompiles the stock headers; returns the header to include first."""
    header = directory / 'stock.h'
    header.write_text('\n'.join(f'#include <{h}>' if '.' not in h else f'#include "{h}"' for h in HEADERS) + '\n')
    run(['g++', *FLAGS, f'-I{ap_types()}', '-x', 'c++-header', header, '-o', f'{header}.gch'])
    return header


def run(command, **kwargs) -> str:
    """Runs a command; returns its output, or raises with it."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kwargs)
    if done.returncode != 0:
        raise RuntimeError(f'{" ".join(map(str, command))}\n{done.stdout}')
    return done.stdout


class QuickCompiler:
    """Does what ``FPGABackend.compile`` does. Sources that were compiled before, in the same directory, aren't again.

    Args:
        header: Function that returns the result of :func:`precompile`.
    """

    def __init__(self, header):
        self.header = header
        self.libraries = {}

    def __call__(self, hls_model, *flags) -> str:
        project, name = Path(hls_model.config.get_output_dir()).absolute(), hls_model.config.get_project_name()
        stamp = hls_model.config.get_config_value('Stamp')
        library = project / 'firmware' / f'{name}-{stamp}{"".join(flags)}.so'
        unit = project / 'unit.cpp'
        unit.write_text(f'#include "firmware/{name}.cpp"\n#include "{name}_bridge.cpp"\n')
        sources = [unit, *project.glob('*_bridge.cpp'), *(project / 'firmware').glob('*.*')]
        sources = [s for s in sources if s.suffix in ('.cpp', '.h')] + list(
            (project / 'firmware/nnet_utils').glob('*_ext.h')
        )
        key = hashlib.sha256(
            b'\0'.join([str(project).encode(), *map(str.encode, flags), *(s.read_bytes() for s in sorted(sources))])
        )
        known = self.libraries.get(key.digest())
        if known and known.is_file():  # a run removes libraries of earlier compilations
            shutil.copy(known, library)
            return str(library)
        weights = f'-DWEIGHTS_DIR="{project / "firmware" / "weights"}"'
        try:
            run(
                [
                    'g++',
                    *FLAGS,
                    *flags,
                    '-include',
                    self.header(),
                    f'-I{ap_types()}',
                    weights,
                    '-shared',
                    unit,
                    '-o',
                    library,
                ],
                cwd=project,
            )
        except RuntimeError as e:
            print(e)
            raise
        self.libraries[key.digest()] = library
        return str(library)


def use_library(hls_model, library: str):
    """Makes `hls_model.predict` use another library."""
    hls_model._top_function_lib = ctypes.cdll.LoadLibrary(str(library))


# ---------------------------------------------------------------------------------------------------------------------
# Warnings
# ---------------------------------------------------------------------------------------------------------------------

CLANG_FLAGS = ['-std=c++14', '-Wall', '-Wextra', '-Wpedantic', '-Wno-unknown-pragmas', '-Wno-unused-label']
"""Labels name the loops in the reports of an HLS tool; nobody jumps to them."""


def clang_tidy() -> str | None:
    """clang as a Python package, or as installed: the compiler front end is all that is needed."""
    beside = Path(sys.executable).parent / 'clang-tidy'
    return str(beside) if beside.exists() else shutil.which('clang-tidy')


def clang_warnings(project: Path, name: str, *flags) -> list[str]:
    """What clang has to say about the kernels of ours (``nnet_utils/*_ext.h``) in a written project."""
    # A check has to be named besides the compiler's own diagnostics.
    checks = '--checks=-*,clang-diagnostic-*,bugprone-infinite-loop'
    source = project / 'firmware' / f'{name}.cpp'
    arguments = [*CLANG_FLAGS, *flags, f'-I{source.parent}', '-isystem', ap_types(), '-DWEIGHTS_DIR="."']
    command = [clang_tidy(), checks, '--header-filter=.*', '--quiet', source, '--', *arguments]
    done = subprocess.run(
        [str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=project
    )
    found = [line for line in done.stdout.splitlines() if ' warning: ' in line or ' error: ' in line]
    assert done.returncode == 0 or any(' error: ' in line for line in found), done.stdout
    ours = re.compile(r'/nnet_utils/nnet_\w*(_ext|sliding_window)\.h:')
    return [line for line in found if ours.search(line) or ' error: ' in line]
