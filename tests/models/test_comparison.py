"""The networks to compare with: their sizes are those of the literature."""

import keras
import numpy as np
import pytest
from pydantic import ValidationError

from hls4ml_ext.errors import ExtError
from hls4ml_ext.models import BUILDERS, COMPARISONS, botnet50, builder, ode_mhsa, resnet50, vit
from hls4ml_ext.models.knobs import Quantization
from hls4ml_ext.report.complexity import complexity

IMAGENET = (224, 224, 3)


def n_trainable(model):
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


@pytest.mark.parametrize(
    ('module', 'knobs', 'n_classes', 'parameters', 'macs'),
    [
        (resnet50, {}, 10, 23_528_522, 4_087_156_736),
        (resnet50, {}, 1000, 25_557_032, 4_089_184_256),  # both as torchvision documents
        (botnet50, {}, 10, 18_823_498, 4_015_806_464),
        (botnet50, {}, 1000, 20_852_008, 4_017_833_984),  # the paper: 20.8 M parameters
        (vit, {'preset': 'tiny-16'}, 1000, 5_717_416, 1_253_683_200),  # as DeiT-Ti, -S in timm
        (vit, {'preset': 'small-16'}, 1000, 22_050_664, 4_598_882_304),
        (vit, {'preset': 'base-16'}, 1000, 86_567_656, 17_563_828_224),
    ],
    ids=lambda value: getattr(value, '__name__', None),
)
def test_sizes(module, knobs, n_classes, parameters, macs):
    model = module.build(IMAGENET, n_classes, **knobs)
    assert model.output_shape == (None, n_classes)
    assert n_trainable(model) == parameters
    size = complexity(model)
    assert (size.parameters, size.macs) == (parameters, macs)


def test_resnet50_is_that_of_keras_but_for_biases_and_stride():
    """keras.applications has a bias in each convolution, and the stride in the first one of a bottleneck."""
    ours, theirs = resnet50.build(IMAGENET, 1000), keras.applications.ResNet50(weights=None)
    biases = sum(x.bias.shape[0] for x in theirs.layers if isinstance(x, keras.layers.Conv2D))
    assert n_trainable(theirs) - biases == n_trainable(ours)

    def kernels(model):
        return sorted(tuple(x.kernel.shape) for x in model.layers if isinstance(x, keras.layers.Conv2D))

    assert kernels(ours) == kernels(theirs)
    assert complexity(theirs).weights == complexity(ours).weights  # biases and normalization fold into one bias


def test_botnet50_attends_in_its_last_stage():
    model = botnet50.build(IMAGENET, 10)
    attention = [x for x in model.layers if type(x).__name__ == 'MultiHeadSelfAttention2D']
    assert [x.name for x in attention] == ['c5_1_conv2', 'c5_2_conv2', 'c5_3_conv2']
    assert [x.output.shape[1:] for x in attention] == [(14, 14, 512), (7, 7, 512), (7, 7, 512)]
    assert {(x.num_heads, x.key_dim, x.position, x.attention) for x in attention} == {(4, 128, 'relative', 'softmax')}
    assert model.get_layer('pool').input.shape[1:] == (7, 7, 2048)


def test_they_compute(tmp_path):
    x = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype('float32')
    small = {'vit': {'dim': 12, 'heads': 3, 'depth': 2, 'mlp_dim': 8}}
    for name in ('vit', 'botnet50'):
        model = builder(name).build((64, 64, 3), 5, **small.get(name, {}))
        y = model(x).numpy()
        assert y.shape == (2, 5)
        assert np.isfinite(y).all()
        assert (y[0] != y[1]).any()
    model = builder('vit').build((64, 64, 3), 5, **small['vit'])
    model.save(tmp_path / 'm.keras')
    assert (keras.models.load_model(tmp_path / 'm.keras')(x).numpy() == model(x).numpy()).all()


def test_mistakes():
    for name in COMPARISONS:
        with pytest.raises(ExtError, match=f'{name} is for comparison only, in floating point.*Use quantization=None'):
            builder(name).build((32, 32, 3), 10, Quantization())
        with pytest.raises(ValidationError, match='widths'):
            builder(name).build((32, 32, 3), 10, widths=[1])
    with pytest.raises(ExtError, match='vit: images of 90x96 can not be cut into patches of 16x16. Use multiples of 16'):
        vit.build((90, 96, 3), 10)
    with pytest.raises(ValidationError, match='heads: 5 heads do not divide dim = 192'):
        vit.Knobs(heads=5)
    assert not set(BUILDERS) & set(COMPARISONS)


@pytest.mark.parametrize('preset', ode_mhsa.PRESETS)
def test_ode_mhsa_is_much_smaller(preset):
    """Published: 94.6 % fewer parameters than the CNN-based model (arXiv 2401.02721), 97.3 % fewer than BoTNet-50."""
    size = int(preset.split('x')[0])
    ours = complexity(ode_mhsa.build((size, size, 3), 10, preset=preset))
    assert ours.reduction(complexity(resnet50.build((96, 96, 3), 10))) >= 0.946
    assert ours.reduction(complexity(botnet50.build((96, 96, 3), 10))) >= 0.973
