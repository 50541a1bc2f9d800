"""The CPU benchmark: our networks as LiteRT flatbuffers, and what is derived for a Cortex-A53 from published times."""

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / 'benchmarks'


def module(name: str):
    """A file of the benchmarks, without its folder on the path."""
    spec = importlib.util.spec_from_file_location(f'benchmark_{name}', BENCHMARKS / f'{name}.py')
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope='module')
def cpu():
    return module('cpu')


@pytest.fixture(scope='module')
def litert_models():
    import hls4ml_ext  # noqa: F401  registers our layers

    return module('litert_models')


def test_every_time_has_a_source_and_a_network(cpu):
    table = cpu.published()
    assert len(table['times']) > 8
    for row in table['times']:
        assert row['library'] in table['sources'] and row['network'] in table['networks'] and row['ms'] > 0
    for network in table['networks'].values():
        assert network['source'] in table['sources'] and network['macs'] > 10**8


def test_throughput_scales_with_the_clock(cpu):
    """Multiply-accumulates a second of published networks, lowest and highest."""
    table = cpu.published()
    times = [row for row in table['times'] if row['bits'] == 'int8' and row['threads'] == 4]
    rates = [table['networks'][row['network']]['macs'] / (row['ms'] / 1e3) * 1.2 / table['clock_ghz'] for row in times]
    assert cpu.throughput(table, 'int8', 4) == pytest.approx((min(rates), max(rates)))
    slow, fast = (cpu.throughput(table, 'float', 4, clock) for clock in (0.6, 1.2))
    assert fast == pytest.approx([2 * x for x in slow])


def test_derived_ranges_are_in_order(cpu):
    """The RTL is least ahead of the highest published throughput."""
    for row in cpu.derived(macs=10**7, images_per_second=20_000):
        low, high = row['images_per_second']
        assert [low, high] == pytest.approx([x * 1e9 / 10**7 for x in row['gmacs']])
        assert row['speed_up'] == pytest.approx([20_000 / high, 20_000 / low]) and low < high
    with pytest.raises(ValueError, match='3 threads'):
        cpu.throughput(cpu.published(), 'int8', 3)


# ---------------------------------------------------------------------------------------------------------------------
# Flatbuffers
# ---------------------------------------------------------------------------------------------------------------------


def network(quantized: bool, attention: str = 'relu', position: str | None = 'relative'):
    """A small network with every kind of block, without batch normalization, with biases that are not zero."""
    import keras

    from hls4ml_ext import fold_batchnorm
    from hls4ml_ext.models.knobs import Quantization
    from hls4ml_ext.models.ode_mhsa import build

    keras.utils.set_random_seed(3)
    model = build(
        (8, 8, 3), 4, Quantization(weights=6) if quantized else None, stem={'filters': 4, 'pool': True}, widths=[4, 6],
        ode={'n_steps': 2, 'solver': 'midpoint'},
        mhsa={'heads': 2, 'key_dim': 3, 'n_steps': 2, 'attention': attention, 'position': position},
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='.*beyond the range')  # random weights
        model = fold_batchnorm(model)
    rng = np.random.default_rng(5)
    for weight in model.trainable_weights:
        if weight.name == 'bias':
            weight.assign(rng.uniform(-0.5, 0.5, weight.shape))
    return model


def images(n: int = 12):
    return np.random.default_rng(1).uniform(-1, 1, (n, 8, 8, 3)).astype(np.float32)


def interpreter(flatbuffer: bytes):
    import tensorflow as tf

    made = tf.lite.Interpreter(model_content=flatbuffer, num_threads=1)
    made.allocate_tensors()
    return made


@pytest.mark.parametrize(('attention', 'position'), [('relu', 'relative'), ('softmax', 'additive'), ('relu', None)])
def test_float_flatbuffer_equals_keras(litert_models, attention, position):
    """ODE blocks and attention in floating point; XNNPACK takes all of it."""
    model, x = network(False, attention, position), images()
    instance = interpreter(litert_models.convert(litert_models.plain(model)))
    expected = model.predict(x, verbose=0)
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(litert_models.run(instance, x), expected, atol=1e-5 * np.abs(expected).max())
    every, outside = litert_models.operations(instance)
    assert not outside and every['DEPTHWISE_CONV_2D'] == 4 * 2 + 1  # stages of two ODE blocks, and between them


def test_int8_flatbuffer_follows_the_quantized_model(litert_models):
    """Weights and ranges are those of the quantizers: its logits are nearer to the model's than those of other images."""
    from hls4ml_ext import predict

    model, x = network(True), images(40)
    instance = interpreter(litert_models.convert(litert_models.plain(model, ranges=True), x))
    expected, logits = predict(model, x), litert_models.run(instance, x)
    assert instance.get_input_details()[0]['dtype'] == np.int8
    spread = np.abs(expected - expected[::-1]).mean()
    assert np.abs(logits - expected).mean() < spread / 4
    assert not litert_models.operations(instance)[1]


def test_what_no_delegate_has_taken_is_found(litert_models):
    """Without XNNPACK that is every operation."""
    import tensorflow as tf

    flatbuffer = litert_models.convert(litert_models.plain(network(False)))
    plain = tf.lite.experimental.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    instance = tf.lite.Interpreter(model_content=flatbuffer, experimental_op_resolver_type=plain)
    instance.allocate_tensors()
    every, outside = litert_models.operations(instance)
    assert every == outside and sum(every.values()) > 50


def test_layer_without_a_plain_one_is_named(litert_models):
    import keras

    from hls4ml_ext import ConversionError

    inputs = keras.Input((4, 4, 2))
    model = keras.Model(inputs, keras.layers.Softmax(name='last')(inputs))
    with pytest.raises(ConversionError, match="'last'.*Softmax"):
        litert_models.plain(model)
