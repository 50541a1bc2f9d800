"""Every module, by Verilator's lint, by slang and by Yosys's own parser."""

import os
import re
import subprocess
import sys

import keras
import pytest
from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D
from rtl import convert_to_rtl, separate

from hls4ml_ext.layers import load_operations
from hls4ml_ext.rtl.project import shared_sources, sources_of
from hls4ml_ext.rtl.verilator import verilator_root

WAIVED = {
    'UNUSEDPARAM': 'styles of memories and products are for synthesis',
    'WIDTHEXPAND': 'constant comparisons: strings of different lengths',
    'UNSIGNED': 'constant comparisons: a count that is never below the zero of this configuration',
    'CMPCONST': 'constant comparisons: a bound that this configuration never reaches',
    'GENUNNAMED': 'checks of parameters are blocks that nobody refers to',
}
"""What Verilator's -Wall may say, and why. Everything else is an error."""

SHIFTED_OUT = '-Wshift-count-overflow'
"""What slang may say: a register of one word is shifted by a word."""

MODULES = {
    path.stem: path
    for path in [*shared_sources(), *(path for operation in load_operations() for path in operation.rtl_sources)]
}


def warnings_of(top: str, files, *arguments) -> list[str]:
    """What Verilator's lint says about a module, without what is waived."""
    root = verilator_root()
    command = [str(root / 'bin' / 'verilator_bin'), '--lint-only', '-Wall', '-Wno-fatal', '--top-module', top, *arguments]
    environment = {**os.environ, 'VERILATOR_ROOT': str(root)}
    done = subprocess.run([*command, *map(str, files)], env=environment, capture_output=True, text=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith('%') and 'Exiting due to' not in line]
    return [line for line in lines if not waived(line)] + (['failed'] if done.returncode else [])


def waived(line: str) -> bool:
    kind = line.removeprefix('%Warning-').split(':')[0]
    if kind == 'UNUSEDPARAM':
        return any(f"'{name}" in line or f"{name}'" in line for name in ('STYLE', 'IMPL'))
    if kind == 'WIDTHEXPAND':  # of a string
        return re.search(r"Operator N?EQ expects .* VARREF '[A-Z_0-9]+' generates", line) is not None
    if kind == 'GENUNNAMED':
        return 'genblk' in line
    return kind in WAIVED


@pytest.mark.parametrize('module', MODULES)
def test_verilator(module):
    assert warnings_of(module, sources_of({module})) == []


@pytest.mark.parametrize('folding', [1, 'mixed', 'largest'])
def test_verilator_of_a_network(folding, tmp_path):
    kernel = {'kernel_quantizer': 'quantized_bits(4,0,alpha=1)', 'bias_quantizer': 'quantized_bits(6,1,alpha=1)'}

    def residual(x):
        x = QActivation('quantized_relu(6,2)', name='a')(QConv2D(4, 3, 2, padding='same', name='c', **kernel)(x))
        y = QActivation('quantized_bits(6,2,alpha=1)', name='b')(QConv2D(4, 1, name='point', **kernel)(x))
        x = QActivation('quantized_bits(6,2,alpha=1)', name='s')(keras.layers.Add(name='add')([x, y]))
        return QDense(3, name='fc', **kernel)(keras.layers.Flatten(name='flat')(x))

    depthwise = QDepthwiseConv2D(
        3, padding='same', depthwise_quantizer=kernel['kernel_quantizer'], bias_quantizer=kernel['bias_quantizer'], name='d'
    )
    model = separate((7, 6, 3), {'residual': residual, 'depthwise': depthwise})
    convert_to_rtl(model, tmp_path / 'p', folding).write()
    files = [tmp_path / 'p' / line for line in (tmp_path / 'p/files.f').read_text().split()]
    assert warnings_of('myproject', files, f'-GROMS="{tmp_path / "p/roms"}"') == []


@pytest.mark.parametrize('reader', ['read_slang', 'read_verilog'])
def test_yosys(reader):
    """In a process of its own, since Yosys prints to its standard output, and ends the process on some errors."""
    pytest.importorskip('pyosys')
    commands = []
    for module in MODULES:
        files = ' '.join(map(str, sources_of({module})))
        read = f'read_slang --top {module} {files}' if reader == 'read_slang' else f'read_verilog -sv {files}'
        commands.append(('design -reset', read, f'hierarchy -check -top {module}'))
    script = (
        'from pyosys import libyosys as ys\n'
        'design = ys.Design()\n'
        f'for number, commands in enumerate({commands!r}):\n'
        '    for command in commands:\n'
        '        ys.run_pass(command, design)\n'
        "print('all are read')\n"
    )
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True)
    if reader == 'read_slang' and 'No such command: read_slang' in done.stdout + done.stderr:
        pytest.skip('this pyosys has no slang')
    assert done.returncode == 0 and 'all are read' in done.stdout, (done.stdout + done.stderr)[-2000:]
    warnings = [line for line in (done.stdout + done.stderr).splitlines() if 'Warning' in line]
    assert [line for line in warnings if SHIFTED_OUT not in line] == []
