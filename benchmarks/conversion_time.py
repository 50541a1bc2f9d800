"""Conversion and compile time of the 96x96 ODE-MHSA network, and of one ODE block as its number of steps grows.

    python benchmarks/conversion_time.py [--steps 1 4 16] [--skip-network]

The weights on disk and the compile time must not depend on the number of steps. Stock hls4ml, which has no shared-weight
loop, gets the same dynamics unrolled: as many copies of the layers as there are steps, in the same run.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import keras

WEIGHTS = 'quantized_bits(4,0,alpha=1)'


def dynamics(channels: int, suffix: str = ''):
    from qkeras import QActivation, QConv2D, QDepthwiseConv2D

    return [
        QActivation('quantized_relu(8,2)', name=f'act{suffix}'),
        QDepthwiseConv2D(3, padding='same', depthwise_quantizer=WEIGHTS, use_bias=False, name=f'dw{suffix}'),
        QActivation('quantized_relu(8,2)', name=f'dwact{suffix}'),
        QConv2D(channels, 1, kernel_quantizer=WEIGHTS, use_bias=False, name=f'pw{suffix}'),
        QActivation('quantized_relu(8,2)', name=f'pwact{suffix}'),
    ]


def ode_model(n_steps: int, size=16, channels=32):
    from qkeras import QActivation

    from hls4ml_ext import ODEBlock

    x = inputs = keras.Input((size, size, channels))
    x = QActivation('quantized_bits(8,2,alpha=1)', name='quantize')(x)
    x = ODEBlock(dynamics(channels), n_steps, state_quantizer='quantized_bits(12,3,alpha=1)', name='ode')(x)
    return keras.Model(inputs, x)


def unrolled_model(n_steps: int, size=16, channels=32):
    """What stock hls4ml needs instead: residual blocks with weights of their own."""
    from qkeras import QActivation

    x = inputs = keras.Input((size, size, channels))
    x = QActivation('quantized_relu(8,2)', name='quantize')(x)
    for i in range(n_steps):
        skip = x
        for layer in dynamics(channels, str(i)):
            x = layer(x)
        x = QActivation('quantized_relu(8,2)', name=f'state{i}')(keras.layers.Add(name=f'add{i}')([x, skip]))
    return keras.Model(inputs, x)


def measure(convert, directory: Path) -> dict[str, float]:
    """Seconds to convert and to compile, and bytes of weight files."""
    start = time.perf_counter()
    hls_model = convert(directory)
    converted = time.perf_counter()
    hls_model.compile()
    compiled = time.perf_counter()
    weights = sum(f.stat().st_size for f in (directory / 'firmware' / 'weights').glob('*.txt'))
    return {'convert_s': converted - start, 'compile_s': compiled - converted, 'weight_bytes': weights}


def stock(model):
    import hls4ml

    def convert(directory):
        config = hls4ml.utils.config_from_keras_model(model, granularity='name', backend='Vitis')
        return hls4ml.converters.convert_from_keras_model(
            model,
            hls_config=config,
            backend='Vitis',
            io_type='io_stream',
            output_dir=str(directory),
            allow_da_fallback=False,
        )

    return convert


def ours(model, **kwargs):
    import hls4ml_ext

    return lambda directory: hls4ml_ext.convert(model, output_dir=str(directory), **kwargs)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, nargs='+', default=[1, 4, 16])
    parser.add_argument('--skip-network', action='store_true', help='only the ODE block')
    parser.add_argument('--json', help='write the figures to this file')
    args = parser.parse_args()

    import hls4ml_ext
    from hls4ml_ext.models import ode_mhsa

    figures = {}
    with tempfile.TemporaryDirectory() as directory:
        jobs = {}
        for n in args.steps:
            keras.utils.set_random_seed(0)  # the same weights for any number of steps
            jobs[f'ODE block, {n} steps'] = ours(ode_model(n))
            jobs[f'stock, {n} unrolled blocks'] = stock(unrolled_model(n))
        if not args.skip_network:
            network = hls4ml_ext.fold_batchnorm(ode_mhsa.build((96, 96, 3), 10, preset='96x96'))
            jobs['96x96 ODE-MHSA network'] = ours(network, hls_config={'Model': {'ReuseFactor': 64}})
        print(f'{"":28s} {"convert":>9s} {"compile":>9s} {"weights":>12s}')
        for i, (name, convert) in enumerate(jobs.items()):
            with contextlib.redirect_stdout(io.StringIO()):
                figures[name] = measure(convert, Path(directory) / str(i))
            f = figures[name]
            print(f'{name:28s} {f["convert_s"]:7.1f} s {f["compile_s"]:7.1f} s {f["weight_bytes"]:10,} B', flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=2))


if __name__ == '__main__':
    main()
