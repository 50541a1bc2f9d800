"""Simulation: what it returns, what it and comparison refuse, and that no input ends the process."""

import shutil

import keras
import numpy as np
import pytest
from exactness import (
    INPUT,
    ExactnessTest,
    assert_exact,
    branches,
    convert,
    images,
    images_of_all,
    joined,
    quietly,
    randomize,
)
from qkeras import QActivation, QConv2D, QDense

import hls4ml_ext
from hls4ml_ext import ExtError, ProjectError
from hls4ml_ext.ports import Port, batch_of

W, B, ACT = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(8,2,alpha=1)', 'quantized_bits(6,2,alpha=1)'
SHAPE = (4, 5, 2)
TWO = (INPUT, 'quantized_bits(6,1,alpha=1)')


def conv(name, filters=2, **kwargs):
    return QConv2D(filters, 3, padding='same', kernel_quantizer=W, bias_quantizer=B, name=name, **kwargs)


def one_input(filters=2):
    return branches(SHAPE, {'only': [conv('c', filters), QActivation(ACT, name='a')]})


def two_inputs():
    """Two inputs; their sum, and a dense layer on it."""

    def total(sources):
        return keras.layers.Add(name='total')(sources)

    model = joined(SHAPE, {'total': total}, TWO)
    x = QActivation(ACT, name='rounded')(model.output)
    x = QDense(3, kernel_quantizer=W, bias_quantizer=B, name='logits')(keras.layers.Flatten(name='flat')(x))
    return randomize(keras.Model(model.inputs, [model.output, x]))


@pytest.fixture(scope='module')
def single(compiled):
    """A Keras model of one input and output, compiled."""
    model = one_input()
    return model, compiled(model)


@pytest.fixture(scope='module')
def double(compiled):
    """A Keras model of two inputs and two outputs, compiled."""
    model = two_inputs()
    return model, compiled(model)


# ---------------------------------------------------------------------------------------------------------------------
# No input ends the process
# ---------------------------------------------------------------------------------------------------------------------


def test_not_compiled(tmp_path):
    hls_model = convert(one_input(), tmp_path / 'p')
    for run in (lambda x: hls4ml_ext.simulate(hls_model, x), hls_model.predict):
        with pytest.raises(ProjectError, match=r'has not been compiled. Do it: hls4ml_ext.compile\(hls_model\)'):
            run(images(SHAPE, 1))
    assert list(tmp_path.iterdir()) == []


def test_deleted_project(tmp_path):
    """hls4ml's weight loader calls exit on a missing file; `trace` changes into the directory."""
    model, x = one_input(), images(SHAPE, 1)
    hls_model = convert(model, tmp_path / 'p')
    hls4ml_ext.compile(hls_model, trace=True)
    weights = tmp_path / 'p/firmware/weights' / f'{hls_model.get_weight_variables()[0].name}.txt'
    runs = (
        lambda: hls4ml_ext.simulate(hls_model, x),
        lambda: hls4ml_ext.compare(hls_model, model, x),
        lambda: hls_model.predict(x),
    )
    weights.unlink()
    for run in runs:
        with pytest.raises(ProjectError, match=f"'{weights}' is missing: .* Compile it again: hls4ml_ext.compile"):
            run()
    shutil.rmtree(tmp_path / 'p')
    for run in runs:
        with pytest.raises(ProjectError, match=f"'{tmp_path}/p/firmware' is missing"):
            run()
    hls4ml_ext.compile(hls_model, trace=True)  # as the message says
    for run in runs:
        run()
    shutil.rmtree(tmp_path / 'p')
    y, trace = quietly(hls_model.trace, x)  # it compiles again by itself
    assert (y.reshape(-1, *SHAPE) == hls4ml_ext.predict(model, x)).all()
    assert (trace['c'] == hls4ml_ext.predict(model, x)).all()


def test_relative_directory_and_chdir(tmp_path, monkeypatch):
    model, x = one_input(), images(SHAPE, 1)
    monkeypatch.chdir(tmp_path)
    hls_model = convert(model, 'relative')
    (tmp_path / 'elsewhere').mkdir()
    monkeypatch.chdir(tmp_path / 'elsewhere')
    hls4ml_ext.compile(hls_model, trace=True)
    monkeypatch.chdir('/')
    assert_exact(model, hls_model, x)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['elsewhere', 'relative']
    assert list((tmp_path / 'elsewhere').iterdir()) == []


@pytest.mark.parametrize('name', ['back\\slash', 'quo"te', 'new\nline'])
def test_directories_that_cpp_cannot_name(name, tmp_path):
    (tmp_path / name).mkdir()
    with pytest.raises(ProjectError, match="in its name, which C\\+\\+ doesn't take as it is. Choose another one"):
        convert(one_input(), tmp_path / name / 'p')
    assert list((tmp_path / name).iterdir()) == []


def test_arrays_that_cpp_would_read_beyond(single, double):
    """hls4ml only looks at the number of values."""
    _, hls_model = single
    for shape in ((4, 20), (2, *SHAPE[:2], 4), (3, 5)):
        with pytest.raises(ExtError, match='images of shape .*; the model wants'):
            hls_model.predict(np.zeros(shape, np.float32))
    model, hls_model = double
    for x in (np.zeros((2, *SHAPE), np.float32), [np.zeros((2, *SHAPE), np.float32)] * 3):
        if len(x) == 3:
            with pytest.raises(ExtError, match='the model has 2 inputs: give a list'):
                hls_model.predict(x)
    with pytest.raises(ExtError, match='images of shape'):
        hls_model.predict([np.zeros(SHAPE, np.float32)] * 2)
    x = [b[:1] for b in images_of_all([SHAPE] * 2, 1, TWO)]
    got = hls_model.predict(x)
    assert all((y.ravel() == want.ravel()).all() for y, want in zip(got, hls4ml_ext.predict(model, x)))


# ---------------------------------------------------------------------------------------------------------------------
# What simulate returns
# ---------------------------------------------------------------------------------------------------------------------


def test_output_of_a_map(single):
    model, hls_model = single
    x = images(SHAPE, 3)
    y = hls4ml_ext.simulate(hls_model, x)
    assert y.shape == (len(x), *SHAPE)
    assert y.dtype == np.float32
    assert (y == hls4ml_ext.predict(model, x)).all()
    assert (hls4ml_ext.simulate(hls_model, x[3]) == y[3:4]).all()
    assert (hls4ml_ext.predict(model, x[3]) == y[3:4]).all()
    assert (hls4ml_ext.simulate(hls_model, x.astype(np.float64).tolist()) == y).all()
    assert (hls4ml_ext.simulate(hls_model, {'image': x}) == y).all()
    assert (hls4ml_ext.simulate(hls_model, [x]) == y).all()
    assert (hls4ml_ext.simulate(hls_model, np.asfortranarray(x)) == y).all()
    assert (hls4ml_ext.simulate(hls_model, x, workers=1) == hls4ml_ext.simulate(hls_model, x, workers=4)).all()
    done = []
    hls4ml_ext.simulate(hls_model, x, progress=done.append)
    assert sum(done) == len(x)
    for function in (hls4ml_ext.simulate, hls4ml_ext.predict):
        assert function(hls_model if function is hls4ml_ext.simulate else model, x[:0]).shape == (0, *SHAPE)


def test_flattened_output(tmp_path):
    """Flatten has no hardware: the last node has the shape of the map."""
    model = branches(SHAPE, {'only': [conv('c'), keras.layers.Flatten(name='f')]})
    hls_model = convert(model, tmp_path / 'p')
    x = images(SHAPE, 1)
    compared = assert_exact(model, hls_model, x)
    assert hls4ml_ext.simulate(hls_model, x).shape == (len(x), 40)
    assert [(c.layer, c.quantizer, c.shape) for c in compared] == [('c', None, (40,))]


def test_several_inputs_and_outputs(double):
    model, hls_model = double
    x = images_of_all([SHAPE] * 2, 3, TWO)
    y = hls4ml_ext.simulate(hls_model, x)
    assert [a.shape for a in y] == [(len(x[0]), *SHAPE), (len(x[0]), 3)]
    by_name = hls4ml_ext.simulate(hls_model, {'image1': x[1], 'image0': x[0]})
    for got, other, want in zip(y, by_name, hls4ml_ext.predict(model, x)):
        assert (got == want).all() and (other == want).all()
    one = hls4ml_ext.simulate(hls_model, tuple(a[2] for a in x))
    assert all((a == b[2:3]).all() for a, b in zip(one, y))


def test_dictionaries(tmp_path):
    """A model that names its inputs and outputs, in no order of the alphabet."""
    b, a = (keras.Input(SHAPE, name=name) for name in 'ba')
    summed = keras.layers.Add(name='s')([QActivation(q, name=f'q{i}')(x) for i, (q, x) in enumerate(zip(TWO, (a, b)))])
    model = randomize(keras.Model({'b': b, 'a': a}, {'z': summed, 'y': conv('c', 3)(summed)}))
    hls_model = convert(model, tmp_path / 'p')
    hls4ml_ext.compile(hls_model, trace=True)
    x = dict(zip('ab', images_of_all([SHAPE] * 2, 2, TWO)))
    got, want = hls4ml_ext.simulate(hls_model, x), hls4ml_ext.predict(model, x)
    assert set(got) == set(want) == {'z', 'y'}
    assert all((got[key] == want[key]).all() and got[key].shape == want[key].shape for key in got)
    assert (want['y'] != 0).any() and (want['z'] == rounded(x['a'], TWO[0]) + rounded(x['b'], TWO[1])).all()
    compared = hls4ml_ext.compare(hls_model, model, x)
    assert [(c.layer, c.mismatches) for c in compared] == [('s', 0), ('c', 0)]


class TestTwoInputs(ExactnessTest):
    models = {'two': two_inputs}
    quantizer = TWO
    reuse_factors = ('mixed',)
    hardware_integers = True


def test_float64(tmp_path):
    """A network that computes in float64: images aren't rounded to float32, nor are outputs of more than 24 bits."""
    keras.config.set_floatx('float64')
    try:
        wide = 'quantized_bits(30,0,alpha=1)'
        model = branches(SHAPE, {'only': [conv('c')]}, wide)
        hls_model = convert(model, tmp_path / 'p')
        x = np.random.default_rng(0).uniform(-1, 1, (5, *SHAPE))
        compared = hls4ml_ext.compare(hls_model, model, x)
        got, want = hls4ml_ext.simulate(hls_model, x), hls4ml_ext.predict(model, x)
    finally:
        keras.config.set_floatx('float32')
    assert got.dtype == want.dtype == np.float64
    assert (got == want).all() and (got != got.astype(np.float32)).any()
    assert [c.mismatches for c in compared] == [0]


def test_saved_hls4ml_models_remember_their_ports(tmp_path):
    from hls4ml.utils.serialization import deserialize_model, serialize_model

    model = two_inputs()
    serialize_model(convert(model, tmp_path / 'p'), tmp_path / 'saved.fml')
    again = quietly(deserialize_model, tmp_path / 'saved.fml', output_dir=str(tmp_path / 'again'))
    x = images_of_all([SHAPE] * 2, 1, TWO)
    compared = hls4ml_ext.compare(again, model, x)
    assert [(c.layer, c.quantizer, c.mismatches) for c in compared][-1] == ('logits', None, 0)
    y = hls4ml_ext.simulate(again, x)
    assert [a.shape for a in y] == [(len(x[0]), *SHAPE), (len(x[0]), 3)]
    with pytest.raises(ExtError, match='its weights are others'):
        hls4ml_ext.compare(again, randomize(two_inputs(), 1), x)


# ---------------------------------------------------------------------------------------------------------------------
# Keras's own figure
# ---------------------------------------------------------------------------------------------------------------------


def rounded(x, quantizer):
    from hls4ml_ext.quantizers import activation_type, resolve

    return activation_type(resolve(quantizer), 'input').quantize(x)


def test_predict_computes_in_the_order_of_the_layers():
    """TensorFlow's arithmetic optimizer adds x, y and the roundings of both in another order, and loses bits."""
    model = joined(SHAPE, {'total': lambda sources: keras.layers.Add()(sources)}, TWO)
    x = images_of_all([SHAPE] * 2, 20, TWO)
    expected = sum(rounded(*pair) for pair in zip(x, TWO))
    assert (hls4ml_ext.predict(model, x) == expected).all()
    assert (hls4ml_ext.predict(model, {'image0': x[0], 'image1': x[1]}, batch_size=7) == expected).all()


def test_predict_restores_the_options_of_tensorflow(monkeypatch):
    import tensorflow as tf

    model, x = one_input(), images(SHAPE, 1)
    before = tf.config.optimizer.get_experimental_options().get('disable_meta_optimizer', False)
    hls4ml_ext.predict(model, x)
    assert tf.config.optimizer.get_experimental_options()['disable_meta_optimizer'] == before

    def fails(*args, **kwargs):
        assert tf.config.optimizer.get_experimental_options()['disable_meta_optimizer']
        raise RuntimeError('stop')

    monkeypatch.setattr(model, 'predict', fails)
    with pytest.raises(RuntimeError, match='stop'):
        hls4ml_ext.predict(model, x)
    assert tf.config.optimizer.get_experimental_options()['disable_meta_optimizer'] == before


def test_predict_of_a_sequential_model():
    model = randomize(keras.Sequential([keras.Input(SHAPE), QActivation(INPUT), conv('c'), keras.layers.Flatten()]))
    x = images(SHAPE, 1)
    assert (hls4ml_ext.predict(model, x) == model.predict(x, verbose=0)).all()


# ---------------------------------------------------------------------------------------------------------------------
# What they refuse
# ---------------------------------------------------------------------------------------------------------------------

GOOD = np.zeros((2, *SHAPE), np.float32)

BAD_IMAGES = {
    'another shape': (np.zeros((2, 5, 4, 2)), r'images of shape \(5, 4, 2\); the model wants \(4, 5, 2\)'),
    'a number': (3.0, r'images of shape \(\); the model wants'),
    'NaN': (np.where(np.arange(80).reshape(2, *SHAPE) == 7, np.nan, 0), r'1 of 80 input numbers are NaN or infinite'),
    'infinite in float32': (np.full((2, *SHAPE), 1e300), r'80 of 80 .* infinite \(as float32\)'),
    'complex': (GOOD + 1j, 'images of dtype complex64; give real numbers'),
    'objects': (GOOD.astype(object), 'images of dtype object; give real numbers'),
    'strings': (GOOD.astype(str), 'images of dtype <U.*; give real numbers'),
    'ragged': ([np.zeros(SHAPE), np.zeros((1, 2))], "images can't be made an array of numbers"),
    'None': (None, 'images of dtype object'),
    'an unknown name': ({'photo': GOOD}, "the model has no input 'photo'; it has 'image'"),
    'no name': ({}, "there is no batch for input 'image'"),
}


@pytest.mark.parametrize('kind', BAD_IMAGES)
def test_bad_images(kind, single):
    """Simulation, comparison and prediction check images alike."""
    model, hls_model = single
    x, message = BAD_IMAGES[kind]
    runs = (
        lambda: hls4ml_ext.simulate(hls_model, x),
        lambda: hls4ml_ext.compare(hls_model, model, x),
        lambda: hls4ml_ext.predict(model, x),
    )
    for run in runs:
        with pytest.raises(ExtError, match=message):
            run()


@pytest.mark.parametrize(
    ('x', 'message'),
    [
        (GOOD, "the model has 2 inputs, 'image0', 'image1': give a list with an array for each, not a ndarray"),
        ([GOOD], 'not a list of 1'),
        ([GOOD, GOOD, GOOD], 'not a list of 3'),
        ([GOOD, np.zeros((3, *SHAPE))], "different numbers of images: 2 of 'image0', 3 of 'image1'"),
        ([GOOD, GOOD + np.nan], "input 'image1': 80 of 80 input numbers are NaN"),
        ([GOOD[..., :1], GOOD], r"input 'image0': images of shape \(4, 5, 1\); the model wants \(4, 5, 2\)"),
        ({'image0': GOOD}, "there is no batch for input 'image1'"),
    ],
)
def test_bad_images_of_several_inputs(x, message, double):
    model, hls_model = double
    for run in (
        lambda: hls4ml_ext.simulate(hls_model, x),
        lambda: hls4ml_ext.compare(hls_model, model, x),
        lambda: hls4ml_ext.predict(model, x),
    ):
        with pytest.raises(ExtError, match=message):
            run()


def test_inputs_of_whole_numbers():
    """Keras makes integers of the images of such an input: fractions would be lost."""
    port = Port('photo', (3,), 'uint8')
    assert batch_of([[0, 128.0, 255]], (port,))[0].dtype == np.uint8
    for numbers in ([0, 0.5, 1], [0, 1, 256], [-1, 0, 0], [0, 0, np.nan]):
        with pytest.raises(ExtError, match="hold numbers that the model's uint8 can't"):
            batch_of([numbers], (port,))


@pytest.mark.parametrize('batch_size', [0, -1, 2.5, None, True, '8'])
def test_bad_batch_sizes(batch_size, single):
    model, hls_model = single
    for run in (
        lambda: hls4ml_ext.compare(hls_model, model, GOOD, batch_size=batch_size),
        lambda: hls4ml_ext.predict(model, GOOD, batch_size=batch_size),
    ):
        with pytest.raises(ExtError, match='batch_size is .*; give a whole number of at least 1'):
            run()


@pytest.mark.parametrize('workers', [0, -2, 1.5, '2'])
def test_bad_workers(workers, single):
    with pytest.raises(ExtError, match='workers is .*; give a number of threads, or None'):
        hls4ml_ext.simulate(single[1], GOOD, workers=workers)


def test_things_that_are_no_models(single):
    model, hls_model = single
    for run in (
        lambda: hls4ml_ext.simulate(model, GOOD),
        lambda: hls4ml_ext.compare(model, hls_model, GOOD),
        lambda: hls4ml_ext.compile(model),
    ):
        with pytest.raises(ExtError, match='a Functional was given where a model from hls4ml_ext.convert is wanted'):
            run()
    for run in (lambda: hls4ml_ext.predict(hls_model, GOOD), lambda: hls4ml_ext.compare(hls_model, 'model.keras', GOOD)):
        with pytest.raises(ExtError, match='a (ExactModelGraph|str) was given where a Keras model is wanted'):
            run()
