"""Pictures: they are written, are the same each time, and leave the model as it was."""

import keras
import numpy as np
import pytest

from hls4ml_ext import MultiHeadSelfAttention2D
from hls4ml_ext.devices import load_device
from hls4ml_ext.errors import ProjectError
from hls4ml_ext.models.ode_mhsa import build
from hls4ml_ext.report.plots.model import (
    activation_histograms,
    attention_maps,
    attention_shares,
    attention_weights,
    weight_histograms,
)
from hls4ml_ext.report.plots.pareto import front, pareto_plot
from hls4ml_ext.report.plots.study import accuracy_against_parameters, accuracy_against_steps, qat_against_ptq
from hls4ml_ext.report.plots.style import seeds_note
from hls4ml_ext.report.plots.timeline import timeline
from hls4ml_ext.report.plots.training import training_curves
from hls4ml_ext.report.plots.utilisation import utilisation
from hls4ml_ext.report.rivals import rivals

HISTORY = {'loss': [2.0, 1.0], 'accuracy': [0.3, 0.5], 'val_loss': [1.9, 1.2], 'val_accuracy': [0.35, 0.45]}
LOG = {'name': 'pretrain', 'epochs': 2, 'learning_rate': 0.1, 'seconds': 3.0, 'best_epoch': 2, 'history': HISTORY}
UNVALIDATED = {**LOG, 'name': 'finetune', 'history': {k: v for k, v in HISTORY.items() if not k.startswith('val')}}
POINTS = [
    {'name': 'a', 'parameters': 200_000, 'accuracy': 0.8, 'kind': 'float'},
    {'name': 'a', 'parameters': 200_000, 'accuracy': 0.79, 'kind': 'qat'},
    {'name': 'b', 'parameters': 2_000_000, 'accuracy': 0.9, 'kind': 'float'},
]
SEEDS = [{**POINTS[0], 'accuracy': [0.8, 0.81, 0.785]}, *POINTS[1:]]
BITS = [{'bits': 'W4A8', 'float': 0.8, 'qat': 0.79, 'ptq': {'minmax': 0.5, 'percentile': 0.6, 'mse': 0.7}}]
ENGINE = {'name': 'b.c', 'kind': 'conv2d', 'beats': [0, 2], 'busy': [30, 20], 'starved': [20, 9], 'stalled': [14, 2]}
TIMELINE = {'bin_cycles': 64, 'begins': [0, 9], 'ends': [70, 94], 'engines': [
    {**ENGINE, 'name': 'b', 'blocks': []}, *[{**ENGINE, 'blocks': ['b']}] * 12, {**ENGINE, 'name': 'z', 'blocks': []},
]}  # fmt: skip
LAYERS = [*[{'name': 'a', 'LUT': 90, 'BRAM_18K': 2, 'DSP': None}] * 8, {'name': '', 'LUT': 500, 'BRAM_18K': 0}]
HAVE = {'LUT': 1000, 'BRAM_18K': 50, 'DSP': 0}
FOLDINGS = [
    {'LUT': lut, 'DSP': dsp, 'estimated_latency_ns': 1e9 / fps, 'estimated_throughput_fps': fps, 'name': f'{fps:g}'}
    for lut, dsp, fps in ((20e3, 10, 900.0), (90e3, 0, 4000.0), (400e3, 90, 9000.0))
]
UNKNOWN = [{**folding, 'LUT': None} for folding in FOLDINGS]
PICTURES = {
    'timeline': lambda path: timeline(TIMELINE, path, 5),
    'utilisation': lambda path: utilisation(LAYERS, HAVE, path, 'board', {'LUT': 1100}, share=0.7),
    'Pareto front': lambda path: pareto_plot(FOLDINGS, load_device('zcu104'), path, dataset='cifar10'),
    'Pareto front without LUTs': lambda path: pareto_plot(UNKNOWN, load_device('zcu104'), path),
    'curves': lambda path: training_curves([LOG, UNVALIDATED], path),
    'parameters': lambda path: accuracy_against_parameters(POINTS, path),
    'parameters of seeds': lambda path: accuracy_against_parameters(SEEDS, path),
    'steps': lambda path: accuracy_against_steps({'a': {1: 0.5, 2: 0.8, 4: 0.7}}, path, trained_at=2),
    'steps of seeds': lambda path: accuracy_against_steps({'a': {1: [0.5, 0.6], 2: [0.8]}}, path, trained_at=2),
    'bits': lambda path: qat_against_ptq([*BITS, {**BITS[0], 'bits': 'W4A4', 'qat': None}], path),
    'bits of seeds': lambda path: qat_against_ptq([{**BITS[0], 'qat': [0.7, 0.8], 'ptq': {'mse': [0.6, 0.5]}}], path),
}


def test_the_front():
    """Points that another one beats, or equals at a lower cost, are not on it."""
    assert front([3, 1, 2, 2, None, 4], [30, 10, 5, 20, 99, 30]) == [1, 3, 0]
    assert front([None], [1]) == []


def test_nothing_to_draw(tmp_path):
    device = load_device('zcu104')
    for draw in (
        lambda path: timeline({**TIMELINE, 'engines': []}, path),
        lambda path: utilisation([], HAVE, path, 'board'),
        lambda path: utilisation(LAYERS, {}, path, 'board'),
        lambda path: pareto_plot([], device, path),
    ):
        with pytest.raises(ProjectError, match='there is nothing to draw'):
            draw(tmp_path / 'a.png')
    assert list(tmp_path.iterdir()) == []


def test_published_systems():
    """Each has a source; those without images per second are not drawn."""
    for rival in rivals():
        assert rival.url.startswith('https://') and rival.source and 0 < rival.accuracy < 1
    on_cifar = rivals('cifar10')
    assert on_cifar == rivals('CIFAR-10 (first 100 images)') and all(rival.comparable for rival in on_cifar)
    assert [rival.board for rival in rivals('STL-10')] == ['ZCU104'] and not rivals('STL-10')[0].comparable
    assert rivals('digits') == []


def size(path) -> tuple[int, int]:
    """Width and height of a PNG, from its header."""
    content = path.read_bytes()
    assert content.startswith(b'\x89PNG\r\n\x1a\n')
    return int.from_bytes(content[16:20], 'big'), int.from_bytes(content[20:24], 'big')


@pytest.mark.parametrize('draw', PICTURES.values(), ids=PICTURES)
def test_pictures_are_the_same_each_time(draw, tmp_path):
    paths = [draw(tmp_path / name) for name in ('a.png', 'b.png')]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    width, height = size(paths[0])
    assert width >= 1000 and height >= 500
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a.png', 'b.png']


@pytest.fixture(scope='module')
def model():
    return build((8, 8, 1), 10, preset='8x8')


@pytest.fixture(scope='module')
def images():
    return np.random.default_rng(0).uniform(-1, 1, (3, 8, 8, 1)).astype('float32')


def test_attention_weights_are_those_of_the_layer(images):
    inputs = keras.Input((4, 4, 1))
    layer = MultiHeadSelfAttention2D(2, 3, attention='softmax', qkv_quantizer=None, logit_quantizer=None)
    layer.attention_quantizer = None
    model = keras.Model(inputs, layer(inputs))
    weights = attention_weights(model, images[:, :4, :4])
    assert weights.shape == (3, 2, 16, 16)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)
    assert '_attend' not in vars(layer)


def test_shares_of_attention():
    weights = np.zeros((1, 2, 6, 6), np.float32)  # two heads on a map of 2x3
    weights[0, 0, 4] = [1, 0, 0, 0, 0, 3]
    shares = attention_shares(weights, 2, 3, (1, 1))
    assert (shares[0, 0] == [[0.25, 0, 0], [0, 0, 0.75]]).all()
    assert (shares[0, 1] == 0).all()  # it attends to nothing
    assert (attention_shares(weights, 2, 3, (0, 1)) == 0).all()  # another pixel


def test_pictures_of_a_model_leave_it_as_it_was(model, images, tmp_path):
    before = model(images).numpy()
    assert attention_weights(model, images).shape == (3, 2, 16, 16)
    for i, path in enumerate(
        (
            attention_maps(model, images, ['a', 'b', 'c'], tmp_path / 'attention.png'),
            weight_histograms(model, tmp_path / 'weights.png'),
            activation_histograms(model, images, tmp_path / 'activations.png'),
        )
    ):
        assert min(size(path)) > 500, i
    assert (model(images).numpy() == before).all()


def test_models_without_what_is_to_be_shown(images, tmp_path):
    plain = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()], name='plain')
    with pytest.raises(ProjectError, match="model 'plain' has no attention layer"):
        attention_maps(plain, images, ['', '', ''], tmp_path / 'x.png')
    for draw in (lambda path: weight_histograms(plain, path), lambda path: activation_histograms(plain, images, path)):
        with pytest.raises(ProjectError, match='no quantizers of fixed range'):
            draw(tmp_path / 'x.png')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('accuracy', [-0.1, 1.2, 83.2, float('nan'), '0.8', [0.8, None]])
def test_what_is_no_accuracy(accuracy, tmp_path):
    path = tmp_path / 'x.png'
    for what, draw in (
        ("model 'a'", lambda: accuracy_against_parameters([{**POINTS[0], 'accuracy': accuracy}], path)),
        ('a', lambda: accuracy_against_steps({'a': {1: accuracy}}, path, trained_at=1)),
        ('W4A8, qat', lambda: qat_against_ptq([{**BITS[0], 'qat': accuracy}], path)),
        ('W4A8, mse', lambda: qat_against_ptq([{**BITS[0], 'ptq': {'mse': accuracy}}], path)),
    ):
        with pytest.raises(ProjectError, match=f'^{what}: accuracy .* is no fraction between 0 and 1'):
            draw()
    assert not path.exists()


@pytest.mark.parametrize(
    ('counts', 'note'), [([1, 1], ''), ([3], '; means of 3 seeds'), ([3, 1], '; means of 1 to 3 seeds')]
)
def test_the_note_on_seeds(counts, note):
    assert seeds_note(counts) == note
    assert seeds_note(counts, 'x') == note + (' (band: x)' if note else '')
