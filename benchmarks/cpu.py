"""Images a second of our networks on a CPU with LiteRT and XNNPACK, beside those of the RTL.

    python benchmarks/cpu.py [--networks cifar10 96x96] [--images 500] [--rounds 15] [--json cpu.json]

Measured: LiteRT (TensorFlow Lite), float and int8, one image at a time, on one thread and on all cores of this machine; that
it computes the same function as Keras; which operations XNNPACK has not taken. The interpreter is that of the installed
TensorFlow, and that of LiteRT's own package too if it is there:  python3 -m pip install --no-deps ai-edge-litert

By formula: the RTL's images a second and latency, from hls4ml_ext.estimate. Derived, not measured: a Cortex-A53, from
published times of other networks in cortex_a53.yml.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')

import numpy as np
import yaml

NETWORKS = {'cifar10': 'cifar10_rtl', '96x96': 'stl10_rtl'}
"""Name -> project that comes with the package."""

FLOAT_WEIGHTS = {'cifar10': 'cifar10_ode_mhsa_float.keras'}
"""Name of a network -> its shipped weights in floating point. The others run in float with their quantized weights."""

REPRESENTATIVE = 200
"""Images from which LiteRT takes the ranges of int8."""

CLOCK_GHZ = 1.2
"""Of the Cortex-A53 of a Zynq UltraScale+, as the published system has it."""

PUBLISHED_SPEED_UPS = {'v1': 12.8, 'v3, the accelerated part': 34.01}
"""Of the published system over that CPU (arXiv 2401.02721). Its threads and its library are not known."""


# ---------------------------------------------------------------------------------------------------------------------
# A Cortex-A53, derived
# ---------------------------------------------------------------------------------------------------------------------


def published() -> dict:
    """The published times of ``cortex_a53.yml``."""
    return yaml.safe_load((Path(__file__).parent / 'cortex_a53.yml').read_text())


def throughput(table: dict, bits: str, threads: int, clock_ghz: float = CLOCK_GHZ) -> tuple[float, float]:
    """The lowest and the highest published throughput, scaled by the clock.

    Args:
        table: From :func:`published`.
        bits: 'float' or 'int8'.
        threads: 1 or 4.
        clock_ghz: Of the CPU that is asked for.

    Returns:
        Multiply-accumulates a second.

    Raises:
        ValueError: if none is published for that.
    """
    rates = [
        table['networks'][row['network']]['macs'] / (row['ms'] * 1e-3) * clock_ghz / table['clock_ghz']
        for row in table['times']
        if (row['bits'], row['threads']) == (bits, threads)
    ]
    if not rates:
        raise ValueError(f'no published time of {bits} with {threads} threads')
    return min(rates), max(rates)


def derived(macs: int, images_per_second: float) -> list[dict]:
    """What a Cortex-A53 would do by published throughput, and how many times faster the RTL is.

    Args:
        macs: Multiply-accumulates of an image.
        images_per_second: Of the RTL.

    Returns:
        For float and int8, 1 and 4 threads: ranges of GMAC/s, of images a second, and of the RTL's speed-up.
    """
    table, rows = published(), []
    for bits, threads in (('float', 1), ('int8', 1), ('float', 4), ('int8', 4)):
        rates = throughput(table, bits, threads)
        images = [rate / macs for rate in rates]
        rows.append({
            'bits': bits, 'threads': threads, 'gmacs': [rate / 1e9 for rate in rates], 'images_per_second': images,
            'speed_up': [images_per_second / n for n in reversed(images)],
        })  # fmt: skip
    return rows


# ---------------------------------------------------------------------------------------------------------------------
# The network
# ---------------------------------------------------------------------------------------------------------------------


def load(network: str, n_images: int):
    """The quantized model of a network, the one in float, its data, and the figures of its RTL.

    Args:
        network: A key of :data:`NETWORKS`.
        n_images: Test images, at most.
    """
    from hls4ml_ext import load_model
    from hls4ml_ext.project import load_project
    from hls4ml_ext.run import Run
    from hls4ml_ext.shipped import DIRECTORY, project_path

    project = load_project(project_path(Path(NETWORKS[network])))
    project = project.model_copy(update={'data': project.data.model_copy(update={'limit': n_images})})
    with tempfile.TemporaryDirectory() as directory, Run(project, Path(directory) / 'run') as run:
        data = run.load_data()
        model = run.train()
        rtl = rtl_figures(run.convert(model), project.hls.clock_period)
    weights = FLOAT_WEIGHTS.get(network)
    in_float = load_model(DIRECTORY.parent / 'models' / 'weights' / weights) if weights else None
    return model, in_float, data, rtl


def rtl_figures(hls_model, clock_period: float) -> dict:
    """Cycles and images a second of the RTL, as ``hls4ml_ext.estimate`` has them.

    Args:
        hls_model: Converted with ``backend='RTL'``.
        clock_period: ns.
    """
    import hls4ml_ext

    estimate = hls4ml_ext.estimate(hls_model, clock_period=clock_period)
    return {
        'interval': estimate.max_cycles, 'slowest': estimate.max_cycles_node_name, 'clock_period_ns': clock_period,
        'images_per_second': estimate.estimated_throughput_fps, 'latency_ms': estimate.estimated_latency_ns / 1e6,
    }  # fmt: skip


def accuracy(logits, labels) -> float | None:
    return None if labels is None else float((np.asarray(logits).argmax(-1).ravel() == labels).mean())


# ---------------------------------------------------------------------------------------------------------------------
# Measuring
# ---------------------------------------------------------------------------------------------------------------------


def interpreters() -> dict:
    """Name and version -> class, of those that are installed."""
    import tensorflow as tf

    found = {f'TensorFlow {tf.__version__}': tf.lite.Interpreter}
    try:
        from ai_edge_litert.interpreter import Interpreter

        found[f'ai-edge-litert {version("ai-edge-litert")}'] = Interpreter
    except (ImportError, PackageNotFoundError):
        pass
    return found


def machine() -> dict:
    """The processor, its cores, and how busy they are."""
    names = [x.split(':', 1)[1].strip() for x in _lines('/proc/cpuinfo') if x.startswith('model name')]
    return {
        'processor': names[0] if names else platform.processor(),
        'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        'load': os.getloadavg()[0],
    }


def _lines(file: str) -> list[str]:
    path = Path(file)
    return path.read_text().splitlines() if path.exists() else []


def latencies(invokes: dict, rounds: int, seconds: float = 0.2) -> dict:
    """Seconds of a call: of each round the median, of these the median and the least.

    All take turns, so that a busy time of the machine hits all of them.

    Args:
        invokes: Anything -> function to be timed.
        rounds: How often each has its turn.
        seconds: Length of a turn, roughly.
    """
    medians = {key: [] for key in invokes}
    for warm_up in (True, *[False] * rounds):
        for key, invoke in invokes.items():
            times, end = [], time.perf_counter() + seconds
            while not times or time.perf_counter() < end:
                start = time.perf_counter()
                invoke()
                times.append(time.perf_counter() - start)
            if not warm_up:
                medians[key].append(float(np.median(times)))
    return {key: {'median_s': float(np.median(x)), 'best_s': min(x)} for key, x in medians.items()}


def measure(network: str, n_images: int, rounds: int) -> dict:
    """All figures of one network."""
    import litert_models

    from hls4ml_ext import predict
    from hls4ml_ext.report.complexity import complexity

    model, in_float, data, rtl = load(network, n_images)
    images, labels = data.x_test, data.y_test
    calibration = data.x_train[:REPRESENTATIVE] if len(data.x_train) else images
    exact = predict(model, images)
    reference = exact if in_float is None else predict(in_float, images)
    twin = litert_models.plain(model if in_float is None else in_float)
    if in_float is None:  # its activations are rounded, the twin's are not
        reference = np.concatenate([np.asarray(twin(image[None])) for image in images])
    flatbuffers = {
        'float': litert_models.convert(twin),
        'int8': litert_models.convert(litert_models.plain(model, ranges=True), calibration),
    }
    macs = complexity(model).macs
    result = {
        'network': network, 'macs': macs, 'test_images': len(images), 'rtl': rtl, 'measured': [],
        'derived_cortex_a53': derived(macs, rtl['images_per_second']),
        'keras': {'quantized_accuracy': accuracy(exact, labels), 'float_accuracy': accuracy(reference, labels)},
    }  # fmt: skip
    invokes, threads = {}, sorted({1, machine()['cores']})
    for runtime, interpreter in interpreters().items():
        for bits, flatbuffer in flatbuffers.items():
            for n in threads:
                instance = interpreter(model_content=flatbuffer, num_threads=n)
                instance.allocate_tensors()
                logits = litert_models.run(instance, images)
                every, outside = litert_models.operations(instance)
                row = {
                    'runtime': runtime, 'bits': bits, 'threads': n, 'accuracy': accuracy(logits, labels),
                    'max_difference': float(np.abs(logits - (reference if bits == 'float' else exact)).max()),
                    'operations': sum(every.values()), 'not_in_xnnpack': dict(outside),
                }  # fmt: skip
                result['measured'].append(row)
                invokes[len(invokes)] = instance.invoke
    for i, times in latencies(invokes, rounds).items():
        row = result['measured'][i]
        row |= {**times, 'images_per_second': 1 / times['median_s'], 'best_images_per_second': 1 / times['best_s']}
        row['rtl_speed_up'] = rtl['images_per_second'] / row['best_images_per_second']
    return result


# ---------------------------------------------------------------------------------------------------------------------
# Showing
# ---------------------------------------------------------------------------------------------------------------------


def show(result: dict):
    """Prints the figures of one network."""
    rtl, keras = result['rtl'], result['keras']
    print(f'\n{result["network"]}: {result["macs"] / 1e6:.1f} M multiply-accumulates')
    print(f'  Keras on {result["test_images"]} images: float {_percent(keras["float_accuracy"])}, '
          f'quantized {_percent(keras["quantized_accuracy"])}')  # fmt: skip
    print(f'  RTL, by formula: {rtl["interval"]:,.0f} cycles an image ({rtl["slowest"]}), '
          f'{rtl["images_per_second"]:,.0f} images/s at {1e3 / rtl["clock_period_ns"]:.0f} MHz, '
          f'latency {rtl["latency_ms"]:.3f} ms')  # fmt: skip
    print(
        '  measured: images/s (best round), latency, RTL / best, accuracy, largest difference of a logit, '
        'operations outside XNNPACK'
    )
    for row in result['measured']:
        outside = ', '.join(f'{n} {name}' for name, n in row['not_in_xnnpack'].items()) or f'none of {row["operations"]}'
        print(f'    {row["runtime"]:22s} {row["bits"]:5s} {row["threads"]} thread(s): {row["images_per_second"]:7,.0f} '
              f'({row["best_images_per_second"]:,.0f}), {row["median_s"] * 1e3:.3f} ms, {row["rtl_speed_up"]:.1f}x, '
              f'{_percent(row["accuracy"])}, {row["max_difference"]:.2g}, {outside}')  # fmt: skip
    print(f'  Cortex-A53 at {CLOCK_GHZ} GHz, derived from published throughput, not measured:')
    for row in result['derived_cortex_a53']:
        (low, high), (slow, fast), (least, most) = row['gmacs'], row['images_per_second'], row['speed_up']
        print(f'    {row["bits"]:5s} {row["threads"]} thread(s): {low:.1f} to {high:.1f} GMAC/s, {slow:,.0f} to {fast:,.0f} '
              f'images/s; RTL {least:.0f} to {most:.0f}x')  # fmt: skip


def _percent(x: float | None) -> str:
    return 'no labels' if x is None else f'{x:.2%}'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--networks', nargs='+', choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument('--images', type=int, default=500, help='test images that are compared')
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--json', type=Path, help='write the figures to this file')
    options = parser.parse_args()
    before = machine()
    print(f'{before["processor"]}, {before["cores"]} cores, load {before["load"]:.1f}; Python {platform.python_version()}')
    results = []
    for network in options.networks:
        results.append(measure(network, options.images, options.rounds))
        show(results[-1])
    shown = ', '.join(f'{x}x ({what})' for what, x in PUBLISHED_SPEED_UPS.items())
    print(f'\nThe published system (arXiv 2401.02721) over that CPU, threads and library not known: {shown}')
    print(f'load now {machine()["load"]:.1f}')
    if options.json:
        figures = {'machine': before, 'published_speed_ups': PUBLISHED_SPEED_UPS, 'results': results}
        options.json.write_text(json.dumps(figures, indent=2) + '\n')


if __name__ == '__main__':
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
