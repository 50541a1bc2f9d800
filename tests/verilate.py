"""Runs a SystemVerilog module by itself: numbers into its inputs, cycle by cycle, and what its outputs show."""

from __future__ import annotations

import ctypes
import hashlib
import os
from pathlib import Path

import numpy as np
from filelock import FileLock

from hls4ml_ext.rtl import verilator
from hls4ml_ext.rtl.project import sources_of

HARNESS = """
#include "Vtop.h"
#include "verilated.h"
#include <memory>
double sc_time_stamp() { return 0; }
extern "C" void run(long cycles, int reset, const unsigned long *in, unsigned long *out) {
    const std::unique_ptr<VerilatedContext> context{new VerilatedContext};
    const std::unique_ptr<Vtop> top{new Vtop{context.get()}};
    for (int i = 0; i < 4 * reset; i++) {
        RESET(1)
        top->clk = i & 1;
        top->eval();
    }
    RESET(0)
    for (long cycle = 0; cycle < cycles; cycle++) {
        top->clk = 0;
        SET
        top->eval();
        GET
        top->clk = 1;
        top->eval();
    }
}
"""


def compile_quickly():
    """Lets Verilator's models be compiled at -O1, from now on, with its headers precompiled: half the time of a small one.

    They are precompiled when the first model is built, for all processes with the same cache.
    """
    verilator.OPTIMIZE = '-O1'
    header = verilator.cache_directory() / 'precompiled.h'
    precompiled = Path(f'{header}.gch')  # a folder, of which g++ takes the one that was made with the same options
    compiler, runtime_objects = verilator.COMPILE, verilator.runtime_objects
    verilator.COMPILE = (*compiler, '-include', str(header))

    def with_headers(root: Path) -> list[Path]:
        header.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f'{header}.lock'):
            if not precompiled.is_dir():
                precompiled.mkdir()
                header.write_text(f'#include "{root / "include" / "verilated.h"}"\n', encoding='utf-8')
                for option in ('-O0', verilator.OPTIMIZE):
                    command = [*compiler, option, '-x', 'c++-header', str(header), '-o', str(precompiled / option[1:])]
                    verilator._call(command, header.parent, 'precompiled.log')
        return runtime_objects(root)

    verilator.runtime_objects = with_headers


class Module:
    """A built module.

    Args:
        name: Of the module, one of the package or in `text`.
        inputs, outputs: Its ports besides clk and rst, of at most 64 bits each.
        parameters: Its parameters: numbers and strings.
        text: SystemVerilog of a module that is not in the package.
        reset: Whether it has a port rst.
        defines: Macros.
    """

    def __init__(self, name, inputs, outputs, parameters=None, text: str = '', reset: bool = False, defines=()):
        self.inputs, self.outputs, self.reset = tuple(inputs), tuple(outputs), reset
        given = {k: f'"{v}"' if isinstance(v, str) else int(v) for k, v in (parameters or {}).items()}
        sources = sources_of({name, *(text.replace('(', ' ').split())})
        contents = [path.read_text() for path in sources]
        key = hashlib.sha256(repr([name, inputs, outputs, given, text, reset, defines, contents]).encode()).hexdigest()[:20]
        directory = verilator.cache_directory() / f'module-{key}'
        library = directory / 'module.so'
        if not library.is_file():
            directory.mkdir(parents=True, exist_ok=True)
            self._build(name, given, text, defines, sources, directory, library)
        self._run = ctypes.CDLL(str(library)).run

    def _build(self, name, parameters, text, defines, sources, directory: Path, library: Path):
        root = verilator.verilator_root()
        (directory / 'tested.sv').write_text(text)
        values = [f'-G{key}={value}' for key, value in parameters.items()]
        command = [
            str(root / 'bin' / 'verilator_bin'), '--cc', '-O3', '-Wno-fatal', '-Wno-lint', '--flatten', '--top-module', name,
            '--prefix', 'Vtop', '-Mdir', 'objects', *values, *(f'-D{d}' for d in defines),
            *([] if not text else ['tested.sv']), *map(str, sources),
        ]  # fmt: skip
        verilator._call(command, directory, 'log', {**os.environ, 'VERILATOR_ROOT': str(root)})
        n_in, n_out = len(self.inputs), len(self.outputs)
        moves = {
            'SET': [f'top->{port} = in[cycle * {n_in} + {i}];' for i, port in enumerate(self.inputs)],
            'GET': [f'out[cycle * {n_out} + {i}] = top->{port};' for i, port in enumerate(self.outputs)],
        }
        macros = [f'#define {key} {" ".join(lines)}' for key, lines in moves.items()]
        macros.append('#define RESET(x) ' + ('top->rst = x;' if self.reset else ''))
        unit = directory / 'objects' / 'unit.cpp'
        files = sorted((directory / 'objects').glob('Vtop*.cpp'))
        unit.write_text('\n'.join([*macros, HARNESS, *(f'#include "{path}"' for path in files)]))
        include = [f'-I{directory / "objects"}', f'-I{root / "include"}', f'-I{root / "include" / "vltstd"}']
        runtime = map(str, verilator.runtime_objects(root))
        unfinished = f'{library}.unfinished'
        command = [*verilator.COMPILE, '-O1', '-shared', *include, str(unit), *runtime, '-lpthread', '-o', unfinished]
        verilator._call(command, directory, 'log')
        os.replace(unfinished, library)

    def __call__(self, **inputs) -> dict[str, np.ndarray]:
        """Runs it.

        Args:
            inputs: Port -> a number for each cycle; a negative one is two's complement. All ports.

        Returns:
            Port -> a number for each cycle, unsigned, before the edge of the clock that ends it.
        """
        assert set(inputs) == set(self.inputs)
        cycles = max(np.size(values) for values in inputs.values())
        given = np.zeros((cycles, len(self.inputs)), np.uint64)
        for i, port in enumerate(self.inputs):
            given[:, i] = np.asarray(inputs[port]).astype(np.int64).astype(np.uint64)
        found = np.zeros((cycles, len(self.outputs)), np.uint64)
        self._run(
            ctypes.c_long(cycles), ctypes.c_int(self.reset), ctypes.c_void_p(given.ctypes.data),
            ctypes.c_void_p(found.ctypes.data),
        )  # fmt: skip
        return {port: found[:, i] for i, port in enumerate(self.outputs)}


def signed(values, width: int) -> np.ndarray:
    """Two's complement of some bits as integers."""
    values = np.asarray(values).astype(np.int64) & ((1 << width) - 1)
    return values - ((values >> (width - 1) & 1) << width)
