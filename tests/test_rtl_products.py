"""Products and roundings of the RTL, for every value of narrow types: as the tools of synthesis see them."""

import os
import subprocess
from itertools import product

import numpy as np
import pytest
from exactness import INPUT, randomize

from hls4ml_ext.errors import ProjectError
from hls4ml_ext.rtl.project import shared_sources


def verilator(tmp_path, top: str, text: str, main: str, *options) -> str:
    """Builds and runs a model; what it prints."""
    from hls4ml_ext.rtl.verilator import verilator_root

    try:
        root = verilator_root()
    except ProjectError as e:
        pytest.skip(str(e))
    (tmp_path / f'{top}.sv').write_text(text)
    (tmp_path / 'main.cpp').write_text(main)
    arguments = ['--cc', '-O3', '-Wno-fatal', '-Wno-lint', '--top-module', top, '--prefix', 'Vtop', '-Mdir', 'objects']
    environment = {**os.environ, 'VERILATOR_ROOT': str(root)}
    command = [str(root / 'bin' / 'verilator_bin'), *arguments, *options, f'{top}.sv', *map(str, shared_sources())]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    sources = [
        *(tmp_path / 'objects').glob('*.cpp'),
        *(root / 'include' / f'{n}.cpp' for n in ('verilated', 'verilated_threads')),
    ]
    include = ['-I', 'objects', '-I', str(root / 'include')]
    command = ['g++', '-std=c++17', '-O1', '-w', *include, 'main.cpp', *map(str, sources), '-lpthread', '-o', 'run']
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    return subprocess.run(['./run'], cwd=tmp_path, check=True, capture_output=True, text=True).stdout


ALL_PAIRS = """
#include "Vtop.h"
#include <cstdio>
int main() {
    Vtop top;
    for (int x = 0; x < 256; x++)
        for (int w = 0; w < 256; w++) {
            top.x = x; top.w = w; top.clk = 0; top.eval(); top.clk = 1; top.eval();
            for (int i = 0; i < COUNT; i++)
                if (top.wrong[i / 32] >> i % 32 & 1) { std::printf("case %d: %d, %d\\n", i, x, w); return 0; }
        }
    std::printf("none wrong\\n");
}
"""


def test_rows_equal_products(tmp_path):
    """The rows of ext_multiply, which synthesis takes, equal `*`."""
    cases = [
        (w_x, x_signed, w_w, w_signed, triple)
        for w_x, w_w in product((1, 2, 3, 5, 8), (1, 2, 3, 4, 5, 8))
        for x_signed, w_signed, triple in product((0, 1), repeat=3)
    ]
    lines = []
    for i, (w_x, x_signed, w_w, w_signed, triple) in enumerate(cases):
        width = w_x + w_w + (1 - x_signed) + (1 - w_signed)
        parameters = f'.W_X({w_x}), .X_SIGNED({x_signed}), .W_W({w_w}), .W_SIGNED({w_signed})'
        lines += [
            f'wire {"signed" if x_signed else ""} [{w_x - 1}:0] x{i} = x[{w_x - 1}:0];',
            f'wire signed [15:0] t{i} = 3 * 16\'(x{i});',
            f'wire [{width - 1}:0] a{i}, b{i};',
            f'ext_multiply #({parameters}, .TRIPLE({triple})) rows{i} (.clk, .w(w[{w_w - 1}:0]), .y(a{i}),',
            f'    .x({f"{{t{i}[{w_x + 1}:0], x{i}}}" if triple else f"x{i}"}));',
            f'ext_multiply #({parameters}, .IMPL("dsp")) whole{i} (.clk, .x(x{i}), .w(w[{w_w - 1}:0]), .y(b{i}));',
            f'assign wrong[{i}] = a{i} != b{i};',
        ]  # fmt: skip
    text = (
        f'module tb (input clk, input [7:0] x, w, output [{len(cases) - 1}:0] wrong);\n' + '\n'.join(lines) + '\nendmodule\n'
    )
    main = f'#define COUNT {len(cases)}\n{ALL_PAIRS}'
    assert verilator(tmp_path, 'tb', text, main, '-DEXT_ROWS') == 'none wrong\n'


@pytest.mark.slow
def test_rows_in_a_network(tmp_path):
    """A network whose products are rows, as they are synthesized, equals Keras."""
    import keras
    from qkeras import QActivation, QConv2D

    import hls4ml_ext
    from hls4ml_ext.rtl import verilator as backend

    quantizers = {'kernel_quantizer': 'quantized_bits(4,0,alpha=1)', 'bias_quantizer': 'quantized_bits(8,0,alpha=1)'}
    inputs = keras.Input((5, 4, 3))
    x = QConv2D(4, 3, name='c', **quantizers)(QActivation(INPUT)(inputs))
    model = randomize(keras.Model(inputs, QActivation('quantized_relu(8,2)')(x)))
    config = {'Model': {'ReuseFactor': 2}}
    hls_model = hls4ml_ext.convert(model, output_dir=str(tmp_path / 'p'), backend='RTL', hls_config=config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend, 'VERILATE', (*backend.VERILATE, '-DSYNTHESIS'))
        hls_model.compile()
    images = np.random.default_rng(0).normal(size=(8, 5, 4, 3)).astype('float32')
    expected = hls4ml_ext.predict(model, images)
    np.testing.assert_array_equal(hls_model.predict(images).reshape(expected.shape), expected)
