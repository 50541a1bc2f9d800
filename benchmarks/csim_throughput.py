"""Throughput of the C simulation in multiply-accumulates per second, against stock hls4ml's kernels in the same run.

    python benchmarks/csim_throughput.py [--size 32] [--channels 32] [--layers 4] [--images 8]

The network is a chain of depthwise 3x3 and pointwise convolutions whose activations are all quantized_relu, the case that
stock hls4ml converts exactly, so that both simulations compute the same numbers; the script checks that they do.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import tempfile
import time

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import keras
import numpy as np


def network(size: int, channels: int, layers: int):
    from qkeras import QActivation, QConv2D, QDepthwiseConv2D

    weights = 'quantized_bits(4,0,alpha=1)'
    x = inputs = keras.Input((size, size, channels))
    x = QActivation('quantized_relu(8,1)', name='quantize')(x)
    macs = 0
    for i in range(layers):
        x = QDepthwiseConv2D(3, padding='same', depthwise_quantizer=weights, use_bias=False, name=f'dw{i}')(x)
        x = QActivation('quantized_relu(8,2)', name=f'dwact{i}')(x)
        x = QConv2D(channels, 1, kernel_quantizer=weights, use_bias=False, name=f'pw{i}')(x)
        x = QActivation('quantized_relu(8,2)', name=f'pwact{i}')(x)
        macs += size * size * channels * (9 + channels)
    return keras.Model(inputs, x), macs


def seconds_per_image(hls_model, x, repeat: int) -> tuple[float, np.ndarray]:
    """The best time of a single-threaded run over the batch, divided by its size, and the outputs."""
    hls_model.predict(x[:1])  # loads the weights
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        y = hls_model.predict(x)
        times.append(time.perf_counter() - start)
    return min(times) / len(x), np.asarray(y)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--size', type=int, default=32, help='height and width of the image')
    parser.add_argument('--channels', type=int, default=32)
    parser.add_argument('--layers', type=int, default=4, help='number of depthwise-pointwise pairs')
    parser.add_argument('--images', type=int, default=8)
    parser.add_argument('--repeat', type=int, default=3)
    parser.add_argument('--json', help='write the figures to this file')
    args = parser.parse_args()

    import hls4ml

    import hls4ml_ext

    keras.utils.set_random_seed(0)
    model, macs = network(args.size, args.channels, args.layers)
    x = np.random.default_rng(0).uniform(0, 2, (args.images, args.size, args.size, args.channels)).astype(np.float32)
    expected = model.predict(x, verbose=0).reshape(len(x), -1)
    figures = {'macs_per_image': macs, 'cores': os.cpu_count()}
    with tempfile.TemporaryDirectory() as directory, contextlib.redirect_stdout(io.StringIO()):
        config = hls4ml.utils.config_from_keras_model(model, granularity='name', backend='Vitis')
        stock = hls4ml.converters.convert_from_keras_model(
            model,
            hls_config=config,
            backend='Vitis',
            io_type='io_stream',
            output_dir=f'{directory}/stock',
            allow_da_fallback=False,
        )
        ours = hls4ml_ext.convert(model, output_dir=f'{directory}/ours')
        for name, hls_model in (('stock', stock), ('ours', ours)):
            start = time.perf_counter()
            hls_model.compile()
            figures[f'{name}_compile_s'] = time.perf_counter() - start
            seconds, y = seconds_per_image(hls_model, x, args.repeat)
            figures[f'{name}_mac_per_s'] = macs / seconds
            figures[f'{name}_mismatches'] = int((y.reshape(len(x), -1) != expected).sum())
        start = time.perf_counter()
        many = np.concatenate([x] * 4)
        hls4ml_ext.simulate(ours, many)
        figures['ours_all_cores_mac_per_s'] = macs * len(many) / (time.perf_counter() - start)
    figures['ratio_per_core'] = figures['ours_mac_per_s'] / figures['stock_mac_per_s']
    for name, value in figures.items():
        print(f'{name:28s} {value:,.2f}' if isinstance(value, float) else f'{name:28s} {value:,}')
    if args.json:
        with open(args.json, 'w') as f:
            json.dump(figures, f, indent=2)


if __name__ == '__main__':
    main()
