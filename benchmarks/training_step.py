"""Images a second of training on this machine's CPU: Keras's own step on each backend, and the compiled step on PyTorch.

    python benchmarks/training_step.py [--quantized] [--batches 10]

Each backend runs in a process of its own, on the same network (ode_mhsa, preset 32x32-small), with one thread. Backends that
are not installed are left out.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
STEPS = {
    'tensorflow': ('tensorflow', False),
    'jax': ('jax', False),
    'torch': ('torch', False),
    'torch, compiled': ('torch', True),
}


def measure(compile: bool, quantized: bool, n_batches: int, batch_size: int = 128) -> float:
    """Images a second, without tracing and compiling."""
    import keras
    import numpy as np

    from hls4ml_ext.models.knobs import Quantization
    from hls4ml_ext.models.ode_mhsa import build
    from hls4ml_ext.train import compiled

    if keras.backend.backend() == 'torch':
        import torch

        torch.set_num_threads(1)
    model = build((32, 32, 3), 10, Quantization() if quantized else None, preset='32x32-small')
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (batch_size * n_batches, 32, 32, 3)).astype('float32')
    y = np.eye(10, dtype='float32')[rng.integers(0, 10, len(x))]
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-3), loss, jit_compile=keras.backend.backend() == 'jax')
    model.optimizer.build(model.trainable_variables)
    if compile:
        compiled.install(model, (x[:batch_size], y[:batch_size]))
    model.fit(x[: 2 * batch_size], y[: 2 * batch_size], batch_size=batch_size, verbose=0)
    start = time.perf_counter()
    model.fit(x, y, batch_size=batch_size, verbose=0)
    return len(x) / (time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--quantized', action='store_true', help='quantization-aware training')
    parser.add_argument('--batches', type=int, default=10)
    parser.add_argument('--one', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(measure(STEPS[options.one][1], options.quantized, options.batches))
        return
    baseline = None
    for name, (backend, _) in STEPS.items():
        if importlib.util.find_spec(backend) is None:
            continue
        environment = {
            **os.environ, 'KERAS_BACKEND': backend, 'OMP_NUM_THREADS': '1',
            'TF_NUM_INTRAOP_THREADS': '1', 'TF_NUM_INTEROP_THREADS': '1',
            'XLA_FLAGS': '--xla_cpu_multi_thread_eigen=false', 'PYTHONPATH': str(ROOT), 'TF_CPP_MIN_LOG_LEVEL': '3',
        }  # fmt: skip
        command = [sys.executable, __file__, *sys.argv[1:], '--one', name]
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True
        )
        speed = float(done.stdout.split()[-1])
        baseline = baseline or speed
        print(f'{name:16s} {speed:6.0f} images/s   {speed / baseline:.2f}x')


if __name__ == '__main__':
    main()
