"""The ResNet builder: shapes and counts are pinned, and a converted one equals Keras."""

import warnings

import keras
import numpy as np
import pytest
from exactness import assert_exact, convert, images
from pydantic import ValidationError

import hls4ml_ext
from hls4ml_ext.models.knobs import Quantization
from hls4ml_ext.models.resnet import Knobs, build


@pytest.mark.parametrize(
    ('preset', 'parameters', 'maps'),
    [
        ('32x32-small', 225834, {'block1_1_act': (16, 16, 32), 'block3_1_act': (4, 4, 96)}),
        ('32x32', 274042, {'block1_3_act': (32, 32, 16), 'block3_3_act': (8, 8, 64)}),
    ],
)
def test_presets(preset, parameters, maps):
    model = build((32, 32, 3), 10, preset=preset)
    assert model.output_shape == (None, 10)
    assert model.count_params() == parameters
    assert {name: model.get_layer(name).output.shape[1:] for name in maps} == maps


def test_blocks():
    def names(**knobs):
        return [x.name for x in build((8, 8, 3), 10, **knobs).layers if isinstance(x, keras.layers.Add)]

    assert names(blocks=[1, 2]) == ['block1_1_add', 'block2_1_add', 'block2_2_add']
    assert len(names(preset='32x32')) == 9  # 6n + 2 = 20 layers with n = 3
    assert len(names(preset='32x32', blocks=2)) == 6


def test_shortcut_is_a_convolution_only_where_the_shape_changes():
    model = build((8, 8, 3), 10, stem={'filters': 4}, widths=[4, 6], blocks=2)
    assert [x.name for x in model.layers if x.name.endswith('_skip')] == ['block2_1_skip']
    model = build((8, 8, 3), 10, stem={'filters': 3}, widths=[4, 6])
    skips = {x.name: x.strides for x in model.layers if x.name.endswith('_skip')}
    assert skips == {'block1_1_skip': (1, 1), 'block2_1_skip': (2, 2)}


def test_float_and_quantized_model_have_the_same_weights():
    quantized, floating = (build((8, 8, 1), 10, bits) for bits in (Quantization(), None))
    assert [(w.path, w.shape) for w in quantized.weights] == [(w.path, w.shape) for w in floating.weights]
    assert not any(type(layer).__name__ == 'QActivation' for layer in floating.layers)
    floating.set_weights(quantized.get_weights())
    x = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype('float32')
    assert np.corrcoef(quantized(x).numpy().ravel(), floating(x).numpy().ravel())[0, 1] > 0.5


def test_converted_equals_keras(tmp_path):
    model = build((7, 8, 2), 3, stem={'filters': 3}, widths=[3, 5], blocks=[1, 2])
    rng = np.random.default_rng(0)
    for weight in model.weights:  # as after some training: normalization isn't the identity
        if weight.name in ('gamma', 'moving_variance'):
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ('beta', 'moving_mean'):
            weight.assign(rng.normal(0, 0.3, weight.shape))
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='.*beyond the range')
        folded = hls4ml_ext.fold_batchnorm(model)
    hls_model = convert(folded, tmp_path / 'p')
    hls4ml_ext.compile(hls_model)
    x = images((7, 8, 2), n_random=6)
    compared = assert_exact(folded, hls_model, x)
    assert {
        ('block1_1_add', 'block1_1_act'),
        ('block2_1_skip', 'block2_1_skip_act'),
        ('block2_2_add', 'block2_2_act'),
        ('logits', None),
    } <= {(c.layer, c.quantizer) for c in compared}
    y = folded.predict(x, verbose=0)
    assert (hls4ml_ext.simulate(hls_model, x) == y).all()
    assert len(np.unique(y, axis=0)) > len(x) // 2


def test_mistakes():
    with pytest.raises(ValidationError, match='blocks: it has 1 numbers, but widths has 2 stages'):
        build((8, 8, 1), 10, blocks=[1])
    with pytest.raises(ValidationError, match='mhsa'):
        Knobs(mhsa={})
    with pytest.raises(ValidationError, match="preset: 'x' is not one of 32x32-small, 32x32"):
        Knobs(preset='x')
