"""The gradients of activation quantizers in training: none where they saturate, and the same numbers as ever."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from hls4ml_ext.models.ode_mhsa import Knobs, build
from hls4ml_ext.project import BuiltModel, Project, Training
from hls4ml_ext.quantizers import activation_type, resolve
from hls4ml_ext.train.data import Dataset
from hls4ml_ext.train.gradients import Clipped, clipped_gradients
from hls4ml_ext.train.ranges import activation_quantizers
from hls4ml_ext.train.sources import Digits
from hls4ml_ext.train.training import Trainer

QUANTIZERS = [
    'quantized_bits(8,2,alpha=1)',
    'quantized_bits(4,-1,alpha=1)',
    'quantized_bits(6,1,1,alpha=1)',  # symmetric
    'quantized_bits(5,1,keep_negative=False,alpha=1)',
    'quantized_bits(8,0)',
]


@pytest.mark.parametrize('text', QUANTIZERS)
def test_same_numbers_no_gradient_beyond_the_range(text):
    quantizer = resolve(text)
    lo, hi, lsb = (float(x) for x in _range(quantizer))
    x = np.unique(np.concatenate([np.linspace(2 * lo - 1, 2 * hi + 1, 4001), np.arange(lo - 1, hi + 1, lsb / 4)]))
    x = tf.constant(x, tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        clipped, plain = Clipped(quantizer)(x), quantizer(x)
    np.testing.assert_array_equal(clipped, plain)
    assert np.unique(plain).size > 10  # neither all zero nor all saturated
    np.testing.assert_array_equal(tape.gradient(plain, x), 1)
    gradient, x = tape.gradient(clipped, x).numpy(), x.numpy()
    np.testing.assert_array_equal(gradient[(x > lo - lsb / 2) & (x < hi + lsb / 2)], 1)
    np.testing.assert_array_equal(gradient[(x < lo - lsb / 2) | (x > hi + lsb / 2)], 0)


def _range(quantizer):
    kind = activation_type(quantizer, 'layer')
    lsb = 2.0**-kind.frac
    return kind.lo * lsb, kind.hi * lsb, lsb


def test_all_quantizers_of_a_model_and_as_they_were_afterwards():
    model = build((8, 8, 1), 10, preset='8x8')
    x = np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 1)).astype(np.float32)
    before, expected = [getattr(*place) for place in activation_quantizers(model.layers)], model(x).numpy()
    with pytest.raises(KeyError), clipped_gradients(model):
        np.testing.assert_array_equal(model(x), expected)
        inside = [type(getattr(*place)).__name__ for place in activation_quantizers(model.layers)]
        assert inside.count('Clipped') > 5 and 'quantized_bits' not in inside
        raise KeyError
    after = [getattr(*place) for place in activation_quantizers(model.layers)]
    assert all(a is b for a, b in zip(after, before, strict=True))


def test_training_does_so():
    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kinds.update(type(getattr(*place)).__name__ for place in activation_quantizers(self.model.layers))

    rng, kinds = np.random.default_rng(0), set()
    x, y = rng.uniform(-1, 1, (32, 8, 8, 1)).astype(np.float32), rng.integers(0, 10, 32)
    model = BuiltModel(builder='ode_mhsa', knobs=Knobs(stem={'filters': 4}, widths=[4], ode={'n_steps': 1}, mhsa=None))
    training = Training(batch_size=16, finetune={'epochs': 1})
    project = Project(path='p.yml', name='p', model=model, data=Digits(), training=training)
    trainer = Trainer(project, Dataset('noise', x, y, x, y, 10), progress=lambda log, steps: [Look()])
    model = trainer.run()
    assert 'Clipped' in kinds and 'quantized_bits' not in kinds
    assert 'quantized_bits' in {type(getattr(*place)).__name__ for place in activation_quantizers(model.layers)}
