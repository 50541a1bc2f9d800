"""Multi-head self-attention: Keras against independent references, and the C simulation against Keras."""

import itertools
import json
import os
import shutil
import subprocess
import sys

import cpp
import keras
import numpy as np
import pytest
from exactness import ExactnessTest, assert_exact, branches, convert, images, randomize
from qkeras import QActivation, QConv2D

import hls4ml_ext
from hls4ml_ext import ConversionError, FixedType, MultiHeadSelfAttention2D, ODEBlock, PrecisionError
from hls4ml_ext.layers.attention.keras import _integer_softmax
from hls4ml_ext.layers.attention.node import ExactReluAttention
from hls4ml_ext.layers.attention.tables import IntegerSoftmax

POSITIONS = ('relative', 'additive', None)
ATTENTIONS = ('relu', 'softmax')


def attention(name, num_heads=2, key_dim=4, **kwargs):
    return MultiHeadSelfAttention2D(num_heads, key_dim, name=name, **kwargs)


def variants(shape, heads=(2,), key_dims=(4,), positions=POSITIONS, attentions=ATTENTIONS, **kwargs):
    """A model with a branch for each combination."""
    layers = {}
    for h, d, position, kind in itertools.product(heads, key_dims, positions, attentions):
        name = f'{kind}_{position}_{h}x{d}'.lower()
        layers[name] = attention(name, h, d, position=position, attention=kind, **kwargs)
    return branches(shape, layers)


# ---------------------------------------------------------------------------------------------------------------------
# Hardware equals Keras
# ---------------------------------------------------------------------------------------------------------------------


class TestDefaults(ExactnessTest):
    """Every position and attention, on a map that isn't square."""

    models = {'3x5': lambda: variants((3, 5, 6))}
    reuse_factors = (1, 'mixed')
    hardware_integers = True


class TestHeads(ExactnessTest):
    models = {
        'relu': lambda: variants((4, 3, 5), (1, 2, 4), (4, 6), (None,), ('relu',)),
        'softmax': lambda: variants((4, 3, 5), (1, 2, 4), (1, 6), (None,), ('softmax',)),
        'relative': lambda: variants((4, 3, 5), (1, 3, 4), (6,), ('relative',)),
        'additive': lambda: variants((4, 3, 5), (1, 3, 4), (6,), ('additive',)),
    }
    io_types = ('io_stream',)
    reuse_factors = ('mixed',)


class TestFoldings:
    """Every way to fold a core, in hardware: whole heads, one head, slices of a head; SIMD set by name."""

    @pytest.mark.parametrize('kind', ATTENTIONS)
    @pytest.mark.parametrize(('heads', 'dims'), [(4, 2), (2, 6)])
    def test_equals_keras(self, heads, dims, kind, tmp_path):
        shape = (3, 4, 5)
        possible = ExactReluAttention.foldings(heads, dims)
        layers, lanes = {}, {}
        for i, (folding, position) in enumerate(itertools.product(possible, POSITIONS)):
            if i % 2 == 0 or folding.simd < dims:
                name = f'simd{folding.simd}_{position}'.lower()
                layers[name] = attention(name, heads, dims, position=position, attention=kind, use_output_projection=False)
                lanes[f'{name}.core'] = folding
        config = {'LayerName': {name: {'SIMD': folding.simd} for name, folding in lanes.items()}}
        model = branches(shape, layers)
        hls_model = convert(model, tmp_path / 'project', hls_config=config)
        nodes = {n.name: n for n in hls_model.get_layers()}
        for name, folding in lanes.items():
            assert (nodes[name].lanes_in(), nodes[name].lanes_out) == (folding.simd, folding.simd)
            assert nodes[name].reuse == folding.reuse
        assert_exact(model, hls_model, images(shape, 3), hardware_integers=True)

    def test_simd_that_cuts_a_head(self):
        """Lanes are heads with all of their dims, or some dims of one head."""
        model = branches((3, 4, 5), {'a': attention('a', 4, 6)})
        with pytest.raises(ConversionError, match="layer 'a.core': SIMD is 4. Use one of 1, 2, 3, 6, 12, 24"):
            hls4ml_ext.convert(model, output_dir='unwritten', hls_config={'LayerName': {'a.core': {'SIMD': 4}}})


class TestMaps(ExactnessTest):
    """Square maps, rows, columns, a single pixel; numbers of pixels that are powers of two, and others."""

    models = {
        f'{h}x{w}': lambda h=h, w=w: variants((h, w, 3), key_dims=(2,))
        for h, w in ((1, 1), (1, 6), (5, 1), (4, 4), (2, 7), (6, 6))
    }
    io_types = ('io_stream',)
    reuse_factors = ('mixed',)


def projections():
    layers = {}
    for bias, out, kind in itertools.product((False, True), (False, True), ATTENTIONS):
        name = f'{kind}_bias{bias:d}_out{out:d}'
        layers[name] = attention(name, use_bias=bias, use_output_projection=out, attention=kind)
    layers['raw'] = attention('raw', use_output_projection=False, context_quantizer=None)
    layers['raw_softmax'] = attention(
        'raw_softmax', use_output_projection=False, context_quantizer=None, attention='softmax'
    )
    layers['own_output'] = attention('own_output', output_quantizer='quantized_bits(6,2,alpha=1)')
    layers['relu_behind'] = [attention('ar'), QActivation('quantized_relu(6,2)', name='relu_behind')]
    layers['context_behind'] = [
        attention('cb', use_output_projection=False, context_quantizer=None, attention='softmax'),
        QActivation('quantized_bits(5,1,alpha=1)', name='context_behind'),
    ]
    return branches((3, 4, 6), layers)


class TestProjections(ExactnessTest):
    """With and without output projection and biases; what rounds the result."""

    models = {'3x4': projections}
    reuse_factors = ('mixed',)


def arithmetic():
    def bits(*arguments):
        return f'quantized_bits({",".join(map(str, arguments))},alpha=1)'

    def relu(bits, integer):
        return f'quantized_relu({bits},{integer})'

    layers = {
        'coarse': {'qkv': bits(4, 2), 'attention': relu(2, 1)},
        'symmetric': {'qkv': bits(6, 2, 1), 'context': bits(6, 0, 1)},
        'unsigned': {'qkv': relu(5, 2), 'attention': bits(5, 1, 'keep_negative=False')},
        'huge_lsb': {'qkv': bits(3, 4), 'attention': relu(6, 8)},
        'fine_positions': {'position': bits(8, -1)},
        'coarse_positions': {'position': bits(3, 2)},
        'auto_po2': {'kernel': "quantized_bits(4,0,1,alpha='auto_po2')", 'position': 'ternary(alpha=1)'},
        'softmax_coarse': {'logit': bits(3, 2), 'attention': relu(1, 0)},
        'softmax_fine': {'logit': bits(11, 4), 'attention': relu(10, 0)},
        'softmax_unsigned': {'logit': relu(7, 3)},
        'softmax_symmetric': {'logit': bits(6, 5, 1), 'qkv': relu(6, 2)},
        'softmax_huge_lsb': {'logit': bits(3, 6)},
    }
    others = {
        'fine_positions': {'logit_scale': 1},
        'coarse_positions': {'logit_scale': 4, 'position': 'additive'},
        'softmax_unsigned': {'logit_scale': 1, 'position': 'additive'},
        'softmax_huge_lsb': {'logit_scale': 8},
    }
    branch = {}
    for name, quantizers in layers.items():
        kwargs = {f'{key}_quantizer': value for key, value in quantizers.items()}
        kind = 'softmax' if 'softmax' in name else 'relu'
        branch[name] = attention(name, attention=kind, **kwargs, **others.get(name, {}))
    return branches((3, 5, 4), branch)


class TestArithmetic(ExactnessTest):
    """Quantizers other than the default ones. One softmax is node 10: C has a function exp10."""

    models = {'3x5': arithmetic}
    io_types = ('io_stream',)
    reuse_factors = ('mixed',)
    hardware_integers = True


class TestVivado(ExactnessTest):
    models = {'2x3': lambda: variants((2, 3, 4), positions=('relative',))}
    backends = ('Vivado',)
    reuse_factors = ('largest',)


class TestInNetwork(ExactnessTest):
    """Behind a convolution, twice in a row, with a skip path around it that has to hold the whole image."""

    @staticmethod
    def build():
        inputs = keras.Input((4, 6, 3))
        x = QActivation('quantized_bits(8,0,alpha=1)')(inputs)
        x = QConv2D(8, 3, padding='same', kernel_quantizer='quantized_bits(4,0,alpha=1)', use_bias=False, name='stem')(x)
        x = skip = QActivation('quantized_relu(8,2)', name='stem_relu')(x)
        x = attention('first', 2, 4)(x)
        x = QActivation('quantized_bits(8,2,alpha=1)', name='first_out')(x)
        x = attention('second', 2, 4, attention='softmax', position='additive')(x)
        x = keras.layers.Add(name='add')([x, skip])
        x = QActivation('quantized_bits(8,3,alpha=1)', name='last')(x)
        return randomize(keras.Model(inputs, x))

    models = {'network': build}
    reuse_factors = (4,)

    def test_skip_path_holds_an_image(self, tmp_path):
        """An image waits beside the first attention, the next one while it is in the second: no more; it runs with one."""
        hls_model = convert(self.build(), tmp_path / 'project', reuse=4)
        depths = {name: v.pragma[1] for name, v in hls_model.output_vars.items()}
        skip = max(depths, key=depths.get)
        image = beats(hls_model, skip)
        assert image >= 24  # pixels
        assert image <= depths[skip] <= 2 * image + 4
        assert runs_through(hls_model, depths)
        assert runs_through(hls_model, {**depths, skip: image + 4})
        assert not runs_through(hls_model, {**depths, skip: image - 20})


def beats(hls_model, tensor: str) -> int:
    variable = hls_model.output_vars[tensor]
    return int(np.prod(variable.shape)) // variable.type.n_elem


def runs_through(hls_model, depths) -> bool:
    """Whether one image passes the graph of streams of the given depths: moves beat after beat until nothing moves."""
    nodes = [n for n in hls_model.get_layers() if n.inputs and n.inputs != ['input']]
    source = next(n.outputs[0] for n in hls_model.get_layers() if n not in nodes)
    waiting = {tensor: 0 for n in hls_model.get_layers() for tensor in n.outputs}
    totals = {tensor: beats(hls_model, tensor) for tensor in waiting}
    fed, taken, made = 0, {n.name: [0] * len(n.inputs) for n in nodes}, {n.name: 0 for n in nodes}
    needs = {
        n.name: [getattr(n, 'last_input_of', lambda i, t=t: np.arange(totals[t]))(i) for i, t in enumerate(n.inputs)]
        for n in nodes
    }
    moved = True
    while moved:
        moved = False
        if fed < totals[source] and waiting[source] < depths[source]:
            fed, moved = fed + 1, True
            waiting[source] += 1
        for node in nodes:
            done = made[node.name]
            for i, tensor in enumerate(node.inputs):
                last = needs[node.name][i]
                needed = last[done] if done < len(last) else totals[tensor]
                while taken[node.name][i] <= needed and waiting[tensor] > 0:
                    waiting[tensor] -= 1
                    taken[node.name][i] += 1
                    moved = True
            complete = done < totals[node.outputs[0]] and all(
                t > last[done] for t, last in zip(taken[node.name], needs[node.name])
            )
            if complete and all(waiting[t] < depths[t] or t in hls_model.outputs for t in node.outputs):
                made[node.name] += 1
                moved = True
                for tensor in node.outputs:
                    waiting[tensor] += 1
    return all(made[n.name] == totals[n.outputs[0]] for n in nodes)


class TestInODEBlock(ExactnessTest):
    @staticmethod
    def build(kind):
        inputs = keras.Input((3, 4, 4))
        x = QActivation('quantized_bits(8,2,alpha=1)', name='input_quantizer')(inputs)
        dynamics = [attention('mhsa', attention=kind), QActivation('quantized_bits(8,2,alpha=1)', name='round')]
        x = ODEBlock(dynamics, 3, state_quantizer='quantized_bits(8,2,alpha=1)', name='ode')(x)
        return randomize(keras.Model(inputs, x))

    models = {kind: lambda kind=kind: TestInODEBlock.build(kind) for kind in ATTENTIONS}
    quantizer = 'quantized_bits(8,2,alpha=1)'


@pytest.mark.parametrize('value', ['highest', 'lowest'])
def test_worst_case_sums(value, tmp_path):
    """Queries, keys, values and positions at the ends of their ranges: no sum wraps."""
    number = {'highest': 100.0, 'lowest': -100.0}[value]
    layers = {
        f'{kind}_{position}': attention(
            f'{kind}_{position}', position=position, attention=kind, use_output_projection=False, context_quantizer=None,
            qkv_quantizer='quantized_bits(4,0,alpha=1)',
            attention_quantizer='quantized_relu(6,2)' if kind == 'relu' else 'auto',
        )
        for position, kind in itertools.product(('relative', 'additive'), ATTENTIONS)
    }  # fmt: skip
    model = branches((3, 3, 4), layers)
    for weight in model.weights:
        weight.assign(np.full(weight.shape, number))
    hls_model = convert(model, tmp_path / 'project')
    x = np.stack([np.full((3, 3, 4), v, np.float32) for v in (1, -1)])
    assert_exact(model, hls_model, x, hardware_integers=True)
    contexts = dict(zip(model.output_names, model.predict(x, verbose=0)))
    for node in hls_model.get_layers():
        if node.name.endswith('.core'):
            result, context = node.result_type.range, contexts[node.name[: -len('.core')]] * 2.0**node.result_type.frac
            reached = context.max() / result.hi if value == 'highest' else context.min() / result.lo
            assert 0.4 < reached <= 1, node.name  # a type's range is up to twice that of the sums


@pytest.mark.parametrize('flags', [(), (cpp.HARDWARE_INTEGERS,)], ids=['native', 'ap_int'])
@pytest.mark.parametrize('compiler', ['g++', 'clang++'])
def test_compilers_have_no_complaints(compiler, flags, tmp_path):
    if shutil.which(compiler) is None:
        pytest.skip(f'no {compiler}')
    project = tmp_path / 'project'
    convert(variants((3, 5, 4)), project, reuse=2).write()
    include = [f'-I{project / "firmware"}', '-isystem', cpp.ap_types(), '-DWEIGHTS_DIR="."']
    flags = ['-Wall', '-Wextra', '-Wno-unknown-pragmas', '-Wno-unused-label', *flags]
    output = cpp.run([compiler, '-std=c++14', '-fsyntax-only', *flags, *include, project / 'firmware' / 'myproject.cpp'])
    assert not [
        line for line in output.splitlines() if 'warning' in line and ('attention_ext' in line or 'softmax_ext' in line)
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Keras against independent references
# ---------------------------------------------------------------------------------------------------------------------


def reference(layer, x, weights_of):
    """The mathematics of the layer, pixel by pixel, in float64.

    Args:
        layer: Its weights are taken as they are.
        x: (height, width, channels).
        weights_of: Function from a row of logits to a row of attention weights.
    """
    height, width, _ = x.shape
    w = {v.name: np.asarray(v, np.float64) for v in layer.weights}
    pixels = [(r, c) for r in range(height) for c in range(width)]
    projected = {p: x[p].astype(np.float64) @ w['qkv_kernel'] + w.get('qkv_bias', 0) for p in pixels}
    size = layer.num_heads * layer.key_dim
    result = np.zeros((height, width, size))
    for head in range(layer.num_heads):
        part = slice(head * layer.key_dim, (head + 1) * layer.key_dim)
        for i in pixels:
            query = projected[i][:size][part]
            logits = []
            for j in pixels:
                key = projected[j][size : 2 * size][part]
                if layer.position == 'relative':
                    key = key + w['position_rows'][j[0] - i[0] + height - 1] + w['position_cols'][j[1] - i[1] + width - 1]
                elif layer.position == 'additive':
                    key = key + w['position_rows'][j[0]][part] + w['position_cols'][j[1]][part]
                logits.append(layer.logit_scale * query @ key)
            weights = weights_of(np.array(logits))
            result[i][part] = sum(a * projected[j][2 * size :][part] for a, j in zip(weights, pixels))
    return result @ w['out_kernel'] + w.get('out_bias', 0) if layer.use_output_projection else result


def integer_weights(layer, denominator, rng, largest=3):
    for weight in layer.weights:
        weight.assign(rng.integers(-largest, largest + 1, weight.shape) / denominator)


@pytest.mark.parametrize('position', POSITIONS)
@pytest.mark.parametrize('use_bias', [False, True])
def test_relu_attention_without_rounding_loss(position, use_bias):
    """Types that hold every intermediate number: the layer is the mathematics, exactly."""
    layer = MultiHeadSelfAttention2D(
        3, 2, position, use_bias=use_bias, kernel_quantizer='quantized_bits(8,3,alpha=1)',
        bias_quantizer='quantized_bits(8,3,alpha=1)', position_quantizer='quantized_bits(8,3,alpha=1)',
        qkv_quantizer='quantized_bits(12,7,alpha=1)',
        attention_quantizer='quantized_relu(18,12)', context_quantizer=None,
    )  # fmt: skip
    rng = np.random.default_rng(1)
    x = (rng.integers(-2, 3, (4, 3, 5, 4)) / 2).astype(np.float32)
    layer.build(x.shape)
    integer_weights(layer, 2, rng)
    got = np.asarray(layer(x))
    want = np.stack([reference(layer, image, lambda logits: np.maximum(logits, 0) / 16) for image in x])  # 15 pixels
    assert np.abs(want).max() > 1
    assert np.array_equal(got, want)


@pytest.mark.parametrize('position', POSITIONS)
def test_softmax_attention_is_close_to_softmax(position):
    layer = MultiHeadSelfAttention2D(
        2, 4, position, 'softmax', use_output_projection=False, kernel_quantizer='quantized_bits(8,3,alpha=1)',
        position_quantizer='quantized_bits(8,3,alpha=1)', qkv_quantizer='quantized_bits(12,7,alpha=1)',
        logit_quantizer='quantized_bits(12,6,alpha=1)', context_quantizer=None, logit_scale=1 / 16,
    )  # fmt: skip
    rng = np.random.default_rng(2)
    x = (rng.integers(-2, 3, (4, 3, 5, 4)) / 2).astype(np.float32)
    layer.build(x.shape)
    integer_weights(layer, 2, rng, 2)
    got = np.asarray(layer(x))

    def softmax(logits):
        rounded = np.clip(np.rint(logits * 32), -2048, 2047) / 32
        return np.exp(rounded) / np.exp(rounded).sum()

    want = np.stack([reference(layer, image, softmax) for image in x])
    value = 2 * 4 * 2 / 2  # at most 4 products of 2/2 and 2/2
    error = np.abs(got - want).max()
    assert 0 < error < 15 * value * layer.integer_softmax(15).error_bound
    assert error < 0.05 * np.abs(want).max()


def test_position_offsets_point_the_right_way():
    """A single column offset switched on: each pixel sees its right neighbour and nothing else."""
    layer = MultiHeadSelfAttention2D(
        1, 1, 'relative', use_output_projection=False, qkv_quantizer='quantized_bits(8,3,alpha=1)', context_quantizer=None,
        kernel_quantizer='quantized_bits(4,3,alpha=1)', position_quantizer='quantized_bits(4,3,alpha=1)', logit_scale=1,
    )  # fmt: skip
    layer.build((None, 2, 4, 2))
    layer.qkv_kernel.assign([[1, 0, 0], [0, 0, 1]])  # query, key and value of the two channels
    layer.position_rows.assign(np.zeros((3, 1)))
    columns = np.zeros((7, 1))
    columns[4] = 1  # offset +1
    layer.position_cols.assign(columns)
    x = np.zeros((1, 2, 4, 2), np.float32)
    x[..., 0] = 1
    x[0, :, :, 1] = [[1, 2, 3, 4], [5, 6, 7, 7.5]]
    right = x[0, 0, 1:, 1] + x[0, 1, 1:, 1]  # in both rows, since the row does not count
    assert np.array_equal(np.asarray(layer(x))[0, 0, :, 0], [*right / 8, 0])


@pytest.mark.parametrize(
    ('key_dim', 'scale'),
    [(1, 1.0), (2, 0.5), (3, 0.5), (4, 0.5), (7, 0.5), (8, 0.25), (16, 0.25), (32, 0.125), (64, 0.125), (100, 0.125)],
)
def test_default_scale(key_dim, scale):
    assert MultiHeadSelfAttention2D(1, key_dim).logit_scale == scale


# ---------------------------------------------------------------------------------------------------------------------
# Integer softmax
# ---------------------------------------------------------------------------------------------------------------------

SOFTMAXES = [
    IntegerSoftmax(FixedType(8, 4), 8, 36),
    IntegerSoftmax(FixedType(8, 4), 8, 144),
    IntegerSoftmax(FixedType(8, 4), 8, 1),
    IntegerSoftmax(FixedType(6, 4), 4, 64),
    IntegerSoftmax(FixedType(12, 6), 8, 1024),
    IntegerSoftmax(FixedType(10, 5, False), 10, 256),
    IntegerSoftmax(FixedType(3, 3), 1, 15),
    IntegerSoftmax(FixedType(4, -2), 6, 7),
    IntegerSoftmax(FixedType(4, 6), 6, 7),
]


def rows_of_logits(softmax: IntegerSoftmax, n=400):
    rng = np.random.default_rng(3)
    lo, hi, shape = softmax.logit.lo, softmax.logit.hi, (n, softmax.length)
    normal = np.clip(np.rint(rng.normal(0, 1.5, shape) * 2.0**softmax.logit.frac), lo, hi)
    extreme = rng.choice([lo, hi], shape)
    one = np.full((2, softmax.length), lo)
    one[0, -1] = hi
    # As many as possible of the largest exponentials that round to nothing.
    zero = np.flatnonzero(softmax.exponentials == 0)
    nearly = np.full((1, softmax.length), max(hi - (zero[0] if len(zero) else hi - lo), lo))
    nearly[0, 0] = hi
    return np.concatenate([rng.integers(lo, hi + 1, shape), normal, extreme, one, nearly]).astype(np.int64)


@pytest.mark.parametrize('softmax', SOFTMAXES, ids=str)
def test_softmax_error(softmax, record_property):
    """The table arithmetic stays within its bound of the true softmax, and the bound means something."""
    logits = rows_of_logits(softmax)
    got = softmax(logits) * 2.0**-softmax.weight_bits
    exact = np.exp((logits - logits.max(-1, keepdims=True)) * 2.0**-softmax.logit.frac)
    exact /= exact.sum(-1, keepdims=True)
    error = np.abs(got - exact).max() * 2**softmax.weight_bits
    record_property('largest error in last bits', float(error))
    print(f'{softmax}: error {error:.3f} of the last bit; bound {softmax.error_bound * 2**softmax.weight_bits:.3f}')
    assert error <= softmax.error_bound * 2**softmax.weight_bits
    assert softmax.error_bound * 2**softmax.weight_bits < 4
    assert softmax(logits).sum(-1).max() <= softmax.largest_sum
    assert softmax.product_bits <= 31
    assert softmax.sum_bits <= 31


@pytest.mark.parametrize('softmax', SOFTMAXES, ids=str)
def test_keras_softmax_is_the_reference(softmax):
    logits = rows_of_logits(softmax)
    got = np.asarray(
        _integer_softmax(softmax, keras.ops.convert_to_tensor(logits * 2.0**-softmax.logit.frac, 'float32'), 'float32')
    )
    assert np.array_equal(got * 2**softmax.weight_bits, softmax(logits))


def test_reference_by_hand():
    """Two equal logits, one that is 1 lower: 1, 1 and exp(-1) over their sum, in 1/256."""
    weights = IntegerSoftmax(FixedType(8, 4), 8, 3)(np.array([[16, 16, 0]]))
    assert np.array_equal(weights, np.rint(np.array([[1, 1, np.exp(-1)]]) / (2 + np.exp(-1)) * 256))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ((FixedType(13, 4), 8, 16), 'logits of 13 bits'),
        ((FixedType(8, 4), 12, 16), 'needs integers of 33 bits'),
        ((FixedType(8, 4), 8, 2**14), 'needs integers of'),
        ((FixedType(8, 40), 8, 16), '-32 fractional bits'),
        ((FixedType(8, 4), 0, 16), 'weights of 0 bits'),
        ((FixedType(8, 4), 8, 0), 'over 0 elements'),
    ],
)
def test_softmax_limits(arguments, message):
    with pytest.raises(ValueError, match=message):
        IntegerSoftmax(*arguments)


# ---------------------------------------------------------------------------------------------------------------------
# Training and saving
# ---------------------------------------------------------------------------------------------------------------------

FLOAT = dict.fromkeys(
    [f'{q}_quantizer' for q in ('kernel', 'bias', 'position', 'qkv', 'logit', 'attention', 'context')]
)  # fmt: skip


def classifier(kind, position='relative', **kwargs):
    inputs = keras.Input((4, 4, 6))
    x = QActivation('quantized_bits(8,2,alpha=1)', name='input_quantizer')(inputs)
    x = attention('mhsa', 2, 8, attention=kind, position=position, use_bias=True, **kwargs)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def toy_data(n=256):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(n, 4, 4, 6)).astype(np.float32)
    y = np.argmax(x.mean((1, 2)) @ rng.normal(size=(6, 3)), -1)
    return x, y


@pytest.mark.parametrize('kind', ATTENTIONS)
@pytest.mark.parametrize('quantizers', [{}, FLOAT], ids=['quantized', 'float'])
def test_training_reduces_the_loss(kind, quantizers):
    x, y = toy_data()
    model = classifier(kind, **quantizers)
    model.compile(keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, epochs=8, batch_size=32, verbose=0)
    assert model.evaluate(x, y, verbose=0) < 0.8 * before


@pytest.mark.parametrize('kind', ATTENTIONS)
@pytest.mark.parametrize('position', POSITIONS)
def test_every_weight_has_a_gradient(kind, position):
    import tensorflow as tf

    model = randomize(classifier(kind, position))
    x, _ = toy_data(32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(x, training=True) ** 2)
    for weight, gradient in zip(
        model.trainable_variables, tape.gradient(loss, [v.value for v in model.trainable_variables])
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() > 0, weight.path


def test_gradient_is_that_of_softmax():
    """Behind logits on their grid, the integer softmax has the gradient of the true one, from its own place."""
    import tensorflow as tf

    layer = MultiHeadSelfAttention2D(1, 1, None, 'softmax')
    layer.build((None, 2, 3, 1))
    logits = tf.constant((np.random.default_rng(0).integers(-40, 40, (1, 1, 6, 6)) / 16).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(logits)
        exact = tf.reduce_sum(layer._attend(logits)[..., 0])
        smooth = tf.reduce_sum(tf.nn.softmax(logits)[..., 0])
    assert float(exact) != float(smooth)
    assert np.allclose(tape.gradient(exact, logits), tape.gradient(smooth, logits), atol=1e-7)


def test_position_tables_start_differently():
    layer = attention('a')
    layer.build((None, 4, 4, 8))
    assert not np.array_equal(np.asarray(layer.position_rows), np.asarray(layer.position_cols))


def test_float_is_the_true_softmax():
    layer = MultiHeadSelfAttention2D(2, 4, 'relative', 'softmax', use_bias=True, **FLOAT)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    layer.build(x.shape)
    randomize(layer)
    want = np.stack([reference(layer, image, lambda v: np.exp(v - v.max()) / np.exp(v - v.max()).sum()) for image in x])
    assert np.allclose(np.asarray(layer(x)), want, atol=1e-4)


def test_nan_reaches_the_output():
    layer = MultiHeadSelfAttention2D(2, 4, attention='softmax')
    assert np.isnan(np.asarray(layer(np.full((1, 3, 3, 4), np.nan, np.float32)))).all()


CONFIGURATIONS = {
    'defaults': {},
    'softmax': {'attention': 'softmax', 'position': 'additive', 'use_bias': True, 'logit_scale': 0.125},
    'other': {
        'position': None, 'use_output_projection': False, 'output_quantizer': 'quantized_bits(6,1,1,alpha=1)',
        'attention_quantizer': 'quantized_relu(6,3)', 'kernel_quantizer': "quantized_bits(4,0,1,alpha='auto_po2')",
        'kernel_initializer': 'ones', 'bias_initializer': 'ones',
    },
    'positions': {'position_initializer': 'ones', 'position_quantizer': 'quantized_bits(5,1,alpha=1)'},
    'float': FLOAT,
}  # fmt: skip


@pytest.mark.parametrize('kwargs', CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_saving(kwargs, tmp_path):
    model = branches((3, 4, 4), {'a': attention('a', **kwargs)})
    model.save(tmp_path / 'model.keras')
    loaded = keras.models.load_model(tmp_path / 'model.keras')
    x = images((3, 4, 4))
    assert np.array_equal(model.predict(x, verbose=0), loaded.predict(x, verbose=0))
    config = model.get_layer('a').get_config()
    assert str(loaded.get_layer('a').get_config()) == str(config)
    again = MultiHeadSelfAttention2D.from_config(config)
    assert str(again.get_config()) == str(config)


def test_output_shape():
    assert attention('a', 3, 5).compute_output_shape((None, 4, 6, 7)) == (None, 4, 6, 7)
    assert attention('a', 3, 5, use_output_projection=False).compute_output_shape((None, 4, 6, 7)) == (None, 4, 6, 15)
    layer = attention('a', 3, 5, use_output_projection=False)
    assert layer(np.zeros((2, 4, 6, 7), np.float32)).shape == (2, 4, 6, 15)


JAX = """
import sys, numpy as np, keras, qkeras
from hls4ml_ext import MultiHeadSelfAttention2D  # registers it
assert keras.backend.backend() == 'jax'
directory = sys.argv[1]
model = keras.models.load_model(f'{directory}/model.keras')
x = np.load(f'{directory}/x.npy')
np.savez(f'{directory}/jax.npz', *model.predict(x, verbose=0))
training = keras.Sequential([keras.Input((3, 5, 6)), model.get_layer(sys.argv[2]), keras.layers.GlobalAveragePooling2D()])
training.compile('adam', 'mse')
y = np.ones((len(x), 6))
before = training.evaluate(x, y, verbose=0)
training.fit(x, y, epochs=10, verbose=0)
assert training.evaluate(x, y, verbose=0) < before
"""


@pytest.mark.slow
def test_jax_equals_tensorflow(tmp_path):
    model = variants((3, 5, 6), use_bias=True)
    x = images((3, 5, 6), 20)
    model.save(tmp_path / 'model.keras')
    np.save(tmp_path / 'x.npy', x)
    env = {**os.environ, 'KERAS_BACKEND': 'jax'}
    for name in ('softmax_relative_2x4', 'relu_additive_2x4'):
        done = subprocess.run([sys.executable, '-c', JAX, tmp_path, name], env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    got = np.load(tmp_path / 'jax.npz')
    for name, tf_output, key in zip(model.output_names, model.predict(x, verbose=0), got.files):
        assert np.array_equal(tf_output, got[key]), name


# ---------------------------------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        ({'num_heads': 0}, 'num_heads is 0. Use a positive integer'),
        ({'num_heads': 1.5}, 'num_heads is 1.5'),
        ({'key_dim': -2}, 'key_dim is -2'),
        ({'key_dim': True}, 'key_dim is True'),
        ({'position': 'rotary'}, "position is 'rotary'. Use one of 'relative', 'additive', None"),
        ({'attention': 'linear'}, "attention is 'linear'. Use one of 'relu', 'softmax'"),
        ({'logit_scale': 0.3}, 'logit_scale is 0.3. Use a power of two'),
        ({'logit_scale': -1}, 'logit_scale is -1'),
        ({'qkv_quantizer': "quantized_bits(8,0,alpha='auto')"}, 'qkv_quantizer: .* scales by the data'),
        ({'qkv_quantizer': 'ternary(alpha=1)'}, 'qkv_quantizer: .* not a rounding to a fixed-point type'),
        ({'context_quantizer': 'quantized_po2(4)'}, 'context_quantizer: '),
        ({'output_quantizer': 'binary(alpha=1)'}, 'output_quantizer: '),
        ({'attention_quantizer': 'quantized_bits(8,0,alpha=1)'}, 'attention_quantizer .* has a sign'),
        ({'attention': 'softmax', 'attention_quantizer': 'quantized_relu(8,2)'}, 'has 2 integer bits'),
        ({'attention': 'softmax', 'logit_quantizer': 'binary(alpha=1)'}, 'logit_quantizer: '),
    ],
)
def test_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message) as e:
        MultiHeadSelfAttention2D(**{'num_heads': 2, 'key_dim': 4, 'name': 'mhsa', **kwargs})
    assert "layer 'mhsa'" in str(e.value)


def test_input_shapes():
    with pytest.raises(ValueError, match="layer 'a': its input has shape .*fixed height"):
        attention('a')(keras.Input((None, 4, 3)))
    with pytest.raises(ValueError, match="layer 'a': its input has shape"):
        attention('a')(keras.Input((4, 3)))


def test_softmax_that_is_too_wide():
    with pytest.raises(ConversionError, match="layer 'a': logits of 13 bits; .*Use fewer bits in logit_quantizer"):
        attention('a', attention='softmax', logit_quantizer='quantized_bits(13,3,alpha=1)')(keras.Input((4, 3, 2)))


def convert_layer(shape=(3, 3, 4), **kwargs):
    return hls4ml_ext.convert(branches(shape, {'a': attention('a', **kwargs)}), output_dir='unwritten')


@pytest.mark.parametrize('quantizer', ['qkv_quantizer', 'attention_quantizer', 'context_quantizer', 'logit_quantizer'])
def test_float_layers_are_not_converted(quantizer):
    with pytest.raises(ConversionError, match=f"layer 'a': {quantizer} is None"):
        convert_layer(attention='softmax', **{quantizer: None})


@pytest.mark.parametrize('quantizer', ['kernel', 'bias', 'position'])
def test_float_weights_are_not_converted(quantizer):
    with pytest.raises(ConversionError, match=f'{quantizer} has no quantizer'):
        convert_layer(use_bias=True, **{f'{quantizer}_quantizer': None})


def test_weights_that_are_not_finite():
    model = branches((3, 3, 4), {'a': attention('a')})
    model.get_layer('a').position_rows.assign(np.full((5, 4), np.nan))
    with pytest.raises(ConversionError, match='position are NaN or infinite'):
        hls4ml_ext.convert(model, output_dir='unwritten')


def test_logits_that_float32_cannot_hold():
    with pytest.raises(PrecisionError, match="layer 'a.core': a logit, a sum of 64 products .* needs 2[5-9] bits"):
        convert_layer(key_dim=64, qkv_quantizer='quantized_bits(11,2,alpha=1)')


def test_contexts_that_float32_cannot_hold():
    with pytest.raises(PrecisionError, match="layer 'a.core': a context, a sum of 9 weighted values needs 25 bits"):
        convert_layer(qkv_quantizer='quantized_bits(10,2,alpha=1)', attention_quantizer='quantized_relu(12,2)')


def test_softmax_contexts_need_fewer_bits():
    """The weights of a row of softmax add up to about one, however long the row is."""
    widths = {}
    for kind in ATTENTIONS:
        hls_model = convert_layer((12, 12, 4), attention=kind, use_output_projection=False, context_quantizer=None)
        widths[kind] = next(n for n in hls_model.get_layers() if n.name == 'a.core').get_attr('context_width')
    assert widths['softmax'] < widths['relu'] - 5


def test_configs_are_json():
    json.dumps(keras.saving.serialize_keras_object(attention('a')))
