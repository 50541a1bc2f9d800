"""The RTL of multi-head self-attention: equal to Keras in every flow of beats, in the cycles that its formulas say."""

import numpy as np
import pytest
from rtl import assert_cycles, assert_rtl_exact, compiled, inputs_of, separate

from hls4ml_ext import MultiHeadSelfAttention2D
from hls4ml_ext.layers.attention.node import ExactAttention, ExactReluAttention
from hls4ml_ext.registry import rtl_kernel_of


def attention(name, heads, dims, kind, position, **kwargs):
    return MultiHeadSelfAttention2D(heads, dims, position, kind, use_output_projection=False, name=name, **kwargs)


def simd(lanes: dict) -> dict:
    """The configuration in which attentions have as many lanes, and nothing keeps them waiting."""
    return {'Model': {'ReuseFactor': 1}, 'LayerName': {f'{name}.core': {'SIMD': n} for name, n in lanes.items()}}


def cores(hls_model):
    return [node for node in hls_model.get_layers() if isinstance(node, ExactAttention)]


@pytest.mark.parametrize(
    ('size', 'kinds', 'heads', 'dims'),
    [
        ((3, 4), ['relu'] * 6, 2, 6),
        ((3, 4), ['softmax'] * 6, 2, 6),
        ((2, 3), ['softmax', 'relu'] * 3, 4, 2),
        ((5, 1), ['relu', 'softmax', 'softmax'], 2, 6),
        ((1, 6), ['softmax', 'relu', 'relu'], 2, 6),
    ],
)
def test_equals_keras(size, kinds, heads, dims, tmp_path):
    """Each position with a folding: whole heads, one head, slices of a head. Cycles and intervals follow the formulas."""
    foldings = ExactReluAttention.foldings(heads, dims)
    layers, lanes = {}, {}
    for i, (kind, position) in enumerate(zip(kinds, ['relative', 'additive', None] * 2)):
        name = f'{kind}{i}_{position}'.lower()
        layers[name] = attention(name, heads, dims, kind, position)
        lanes[name] = foldings[(2 * i + 1) % len(foldings)].simd
    model = separate((*size, 3), layers)
    hls_model = compiled(model, tmp_path / 'project', hls_config=simd(lanes))
    x = inputs_of(model)
    assert_rtl_exact(model, hls_model, x)
    assert_cycles(hls_model, x, of=ExactAttention)
    for node in cores(hls_model):
        assert node.lanes_out == lanes[node.name.removesuffix('.core')]
        assert rtl_kernel_of(node).interval(node) <= node.cycles


def test_one_pixel(tmp_path):
    """Several images in the pipelines at once."""
    layers = {f'{kind}_{p}'.lower(): attention(f'{kind}_{p}'.lower(), 2, 6, kind, p)
              for kind, p in (('relu', 'additive'), ('softmax', 'relative'), ('softmax', None))}  # fmt: skip
    model = separate((1, 1, 3), layers)
    hls_model = compiled(model, tmp_path / 'project', hls_config=simd({'softmax_relative': 3, 'softmax_none': 6}))
    assert_rtl_exact(model, hls_model, inputs_of(model))


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
    model = separate((2, 5, 4), layers)
    lanes = {'huge_lsb': 4, 'coarse_positions': 2, 'fine_logits': 2}
    assert_rtl_exact(model, compiled(model, tmp_path / 'project', hls_config=simd(lanes)), inputs_of(model))


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
    model = separate((3, 3, 4), layers)
    for weight in model.weights:
        weight.assign(np.full(weight.shape, value))
    x = [np.stack([np.full((3, 3, 4), v, np.float32) for v in (1, -1, 1)])] * 2
    assert_rtl_exact(model, compiled(model, tmp_path / 'project'), x)
