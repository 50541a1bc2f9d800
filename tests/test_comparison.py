"""Comparison with Keras: every layer, and inside of ODE blocks every evaluation; a mistake is found where it begins."""

import keras
import numpy as np
import pytest
from exactness import INPUT, all_layers, assert_exact, branches, convert, images, joined, quietly, randomize
from qkeras import QActivation, QConv2D, QDense

import hls4ml_ext
from hls4ml_ext import ExtError, MultiHeadSelfAttention2D, ODEBlock, comparison, tracing

W, B, ACT = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(8,2,alpha=1)', 'quantized_bits(6,2,alpha=1)'
STATE = 'quantized_bits(8,2,alpha=1)'
SHAPE = (4, 5, 2)


def conv(name, filters=2, size=3, **kwargs):
    return QConv2D(filters, size, padding='same', kernel_quantizer=W, bias_quantizer=B, name=name, **kwargs)


def one_input(filters=2):
    return branches(SHAPE, {'only': [conv('c', filters), QActivation(ACT, name='a')]})


@pytest.fixture(scope='module')
def single(compiled):
    """A Keras model of one input and output, compiled."""
    model = one_input()
    return model, compiled(model)


def test_compare_counts_mismatches(single, monkeypatch):
    """One number of the hardware is wrong: it is found, in batches of any size, and of one image too."""
    model, hls_model = single
    x = images(SHAPE, 2)
    trace = tracing.trace

    def broken(hls_model, batch, n_images):
        found, recording = trace(hls_model, batch, n_images)
        found['c'][0, 1, 2, 1] += 0.25
        return found, recording

    monkeypatch.setattr(tracing, 'trace', broken)
    for batch_size in (1, np.int64(3), 64):
        (c,) = hls4ml_ext.compare(hls_model, model, x, batch_size=batch_size)
        assert (c.mismatches, c.values, c.max_error) == (-(-len(x) // batch_size), x.size, 0.25)
    (c,) = hls4ml_ext.compare(hls_model, model, x[0])
    assert (c.mismatches, c.values) == (1, 40)
    monkeypatch.undo()
    (c,) = hls4ml_ext.compare(hls_model, model, {'image': x})
    assert (c.mismatches, c.values, c.max_error) == (0, x.size, 0)


def test_compare_wants_images(single):
    model, hls_model = single
    with pytest.raises(ExtError, match='there are no images to compare'):
        hls4ml_ext.compare(hls_model, model, images(SHAPE, 1)[:0])


def test_compare_wants_the_model_that_was_converted(single):
    model, hls_model = single
    same = keras.models.clone_model(model)
    same.set_weights(model.get_weights())
    assert [c.mismatches for c in hls4ml_ext.compare(hls_model, same, images(SHAPE, 1))] == [0]
    for other, difference in (
        (one_input(3), 'its inputs or outputs are others'),
        (joined(SHAPE, {'total': lambda x: keras.layers.Add()(x)}), 'its inputs or outputs are others'),
        (randomize(one_input(), 1), 'its weights are others'),
    ):
        with pytest.raises(ExtError, match=f'is not the one that was converted: {difference}. Give that one, or convert'):
            hls4ml_ext.compare(hls_model, other, images(SHAPE, 1))


def test_compare_wants_something_to_compare(tmp_path):
    """hls4ml's own conversion has no layers that are to be exact."""
    import hls4ml

    x = inputs = keras.Input((4,), name='image')
    model = keras.Model(inputs, keras.layers.Dense(2, name='d')(x))
    hls_model = quietly(
        hls4ml.converters.convert_from_keras_model, model, output_dir=str(tmp_path / 'p'), allow_da_fallback=False
    )
    with pytest.raises(ExtError, match='nothing can be compared'):
        hls4ml_ext.compare(hls_model, model, np.zeros((2, 4)))


def test_compare_names_layers_as_the_user_does(tmp_path):
    x = inputs = keras.Input(SHAPE, name='image')
    x = QActivation(INPUT, name='q')(x)
    x = conv('c1', 4)(x)
    x = QActivation('quantized_relu(6,2)', name='relu1')(x)
    dynamics = [QActivation(ACT, name='rounded'), conv('pw', 4), QActivation(ACT, name='slope')]
    x = ODEBlock(dynamics, n_steps=2, state_quantizer='quantized_bits(8,2,alpha=1)', name='ode1')(x)
    x = skip = QActivation(ACT)(x)  # with a name of Keras's own
    x = MultiHeadSelfAttention2D(num_heads=1, key_dim=4, attention='relu', output_quantizer=None, name='mhsa')(x)
    x = QActivation(ACT, name='after_mhsa')(x)
    x = keras.layers.Add(name='total')([x, skip])
    x = QActivation(ACT, name='after_total')(x)
    x = keras.layers.MaxPooling2D(2, name='pool')(x)
    x = keras.layers.Dropout(0.5, name='dropout')(keras.layers.Flatten(name='flat')(x))
    x = QDense(3, kernel_quantizer=W, bias_quantizer=B, activation='quantized_bits(9,4,alpha=1)', name='logits')(x)
    model = randomize(keras.Model(inputs, x))
    compared = assert_exact(model, convert(model, tmp_path / 'p'), images(SHAPE, 1))
    inside = [('rounded', None), ('pw', 'ode1.slope')]
    between = next(layer.name for layer in model.layers if layer.output is skip)
    assert [(c.layer, c.quantizer) for c in compared] == [
        ('c1', 'relu1'),
        *[(f'ode1.{name}[{i}]', quantizer) for i in range(2) for name, quantizer in inside],
        ('ode1', between),
        ('mhsa', 'after_mhsa'),
        ('total', 'after_total'),
        ('pool', None),
        ('logits', None),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# Inside of ODE blocks
# ---------------------------------------------------------------------------------------------------------------------


def inner_block(name='inner', n_steps=2, solver='euler'):
    """A block that sees the time, so that its evaluations differ in more than the state."""
    layers = [QActivation(ACT, name='q'), conv('c1', 3), QActivation(ACT, name='a1'), conv('c2', 2, 1), QActivation(ACT)]
    return ODEBlock(layers, n_steps, solver, state_quantizer=STATE, time_channel=True, name=name)


def with_blocks(solver='heun'):
    """A block, and behind it one with a block inside."""
    nested = [inner_block(), QActivation(ACT, name='between'), conv('c3')]
    outer = ODEBlock(nested, 3, state_quantizer=STATE, step_size=0.5, name='outer')
    layers = [inner_block('ode', 2, solver), QActivation(ACT, name='rounded'), outer, conv('last')]
    return branches(SHAPE, {'only': layers})


@pytest.fixture(scope='module')
def blocks(compiled):
    """A model with blocks, compiled, and its images."""
    model = with_blocks()
    return model, compiled(model), images(SHAPE, 2)


def expected_names():
    """What is compared, in the order of the data."""
    ode = [f'ode.{layer}[{i}]' for i in range(4) for layer in ('q', 'c1', 'c2')]
    outer = []
    for i in range(3):
        outer += [f'outer.inner.{layer}[{2 * i + k}]' for k in range(2) for layer in ('q', 'c1', 'c2')]
        outer += [f'outer.inner[{i}]', f'outer.c3[{i}]']
    return [*ode, 'ode', *outer, 'outer', 'last']


def test_every_evaluation_is_compared(blocks):
    model, hls_model, x = blocks
    compared = hls4ml_ext.compare(hls_model, model, x)
    assert [c.layer for c in compared] == expected_names()
    assert [c.mismatches for c in compared] == [0] * len(compared)
    sizes = {'outer.c3': 40, 'outer.inner': 40, 'ode.c1': 60, 'ode.q': 60, 'ode.c2': 40}
    for c in compared:
        assert c.values == len(x) * sizes.get(c.node, np.prod(c.shape))
        assert c.evaluation == (int(c.layer.split('[')[1][:-1]) if '[' in c.layer else None)


def test_evaluations_are_those_of_keras(blocks):
    """Against the state of Keras's solver, followed by hand through the first block."""
    model, hls_model, x = blocks
    block = model.get_layer('ode')
    z = model.get_layer('input_quantizer')(x)
    first = keras.Model(block.dynamics.inputs, block.dynamics.get_layer('q').output)

    def at(z, t):
        return keras.ops.concatenate([z, keras.ops.full_like(z[..., :1], t)], axis=-1)

    start = block.state_quantizer(z)
    middle = block.state_quantizer(start + 0.5 * block.dynamics(at(start, 0.0)))
    recorded = recording_of(hls_model, x)
    node = next(n for n in all_layers(hls_model) if n.name == 'ode.q')
    for evaluation, stage in enumerate((at(start, 0.0), at(middle, 0.5))):
        assert (recorded.output(node, evaluation) == keras.ops.convert_to_numpy(first(stage))).all()
    assert (recorded.output(node, 0) != recorded.output(node, 1)).any()


def recording_of(hls_model, x):
    return tracing.trace(hls_model, x, len(x))[1]


def first_wrong(hls_model, model, x):
    """The first comparison with mismatches."""
    return next((c for c in hls4ml_ext.compare(hls_model, model, x) if c.mismatches), None)


def broken(model, directory, name, change):
    """A converted model in which `change` has been done to the node of that name."""
    hls_model = convert(model, directory)
    change(next(n for n in all_layers(hls_model) if n.name == name))
    hls4ml_ext.compile(hls_model, trace=True)
    return hls_model


@pytest.mark.parametrize(
    ('node', 'layer'), [('ode.c1', 'ode.c1[0]'), ('outer.c3', 'outer.c3[0]'), ('outer.inner.c2', 'outer.inner.c2[0]')]
)
def test_a_wrong_word_in_a_rom_is_found(node, layer, tmp_path):
    """One bit of the written project."""
    model = with_blocks()
    hls_model = convert(model, tmp_path / 'p')
    hls4ml_ext.compile(hls_model, trace=True)
    rom = next(n for n in all_layers(hls_model) if n.name == node).weights['weight'].name
    path = tmp_path / f'p/firmware/weights/{rom}.txt'
    text = path.read_text()
    digit = text.rindex(')') - 1
    path.write_text(f'{text[:digit]}{int(text[digit], 16) ^ 1:x}{text[digit + 1 :]}')
    found = first_wrong(hls_model, model, images(SHAPE, 2))
    assert (found.node, found.layer, found.evaluation) == (node, layer, 0)


@pytest.mark.parametrize(
    ('block', 'evaluation', 'layer'),
    [('ode', 0, 'ode.q[0]'), ('ode', 3, 'ode.q[3]'), ('outer.inner', 1, 'outer.inner.q[1]')],
)
def test_a_mistake_in_one_evaluation_is_found_there(block, evaluation, layer, tmp_path):
    """The hardware takes a wrong time in it; what it computes before is right."""

    def change(node):
        times = list(node.get_attr('times'))
        times[evaluation] += 16
        node.set_attr('times', times)

    model = with_blocks()
    assert first_wrong(broken(model, tmp_path / 'p', block, change), model, images(SHAPE, 2)).layer == layer


def test_a_wrong_update_is_found_in_the_next_evaluation(tmp_path):
    """The second stage starts from a wrong state: no layer of the first one is wrong."""

    def change(node):
        rows = [list(row) for row in node.get_attr('coefficients')]
        rows[0][0] *= 2
        node.set_attr('coefficients', rows)

    model = with_blocks()
    assert first_wrong(broken(model, tmp_path / 'p', 'ode', change), model, images(SHAPE, 2)).layer == 'ode.q[1]'


def test_memory_is_bounded(blocks, monkeypatch):
    """Many evaluations of many layers: fewer images at a time, and the same result."""
    model, hls_model, x = blocks
    expected = hls4ml_ext.compare(hls_model, model, x)
    of_an_image = comparison._values_of_an_image(hls_model)
    compared = sum(c.values for c in expected) // len(x)
    assert compared <= of_an_image <= compared + 2 * np.prod(SHAPE)  # the inputs of two blocks are rounded to the state
    sizes = []
    monkeypatch.setattr(comparison, 'MOST_VALUES', 3 * of_an_image + 1)
    assert hls4ml_ext.compare(hls_model, model, x, progress=sizes.append) == expected
    assert max(sizes) == 3 and sum(sizes) == len(x)
    monkeypatch.setattr(comparison, 'MOST_VALUES', 1)
    assert hls4ml_ext.compare(hls_model, model, x[:2]) == hls4ml_ext.compare(hls_model, model, x[:2], batch_size=1)


def test_nothing_is_recorded_in_a_simulation(blocks):
    """Neither by hls4ml's own trace nor by `simulate`, which runs on all cores."""
    model, hls_model, x = blocks
    recording = recording_of(hls_model, x)
    counts = dict(recording.counts)
    assert set(counts) == {c.node for c in hls4ml_ext.compare(hls_model, model, x[:1]) if c.evaluation is not None}
    hls4ml_ext.simulate(hls_model, x)
    quietly(hls_model.trace, x)
    assert recording.counts == counts


def test_a_project_without_trace_has_no_recording(tmp_path):
    hls_model = convert(with_blocks(), tmp_path / 'p')
    hls_model.write()
    parameters = tmp_path / 'p/firmware/parameters.h'
    assert 'nnet::ext::record' not in parameters.read_text()
    tracing.switch_on(hls_model)
    hls_model.write()
    lines = parameters.read_text().splitlines()
    calls = [i for i, line in enumerate(lines) if 'nnet::ext::record' in line]
    assert len(calls) == len({name.split('[')[0] for name in expected_names() if '[' in name})
    assert all(lines[i - 1].strip() == '#ifndef __SYNTHESIS__' and lines[i + 1].strip() == '#endif' for i in calls)


def test_saved_models_are_compared_inside_too(tmp_path):
    from hls4ml.utils.serialization import deserialize_model, serialize_model

    model, x = with_blocks(), images(SHAPE, 1)
    serialize_model(convert(model, tmp_path / 'p'), tmp_path / 'saved.fml')
    again = quietly(deserialize_model, tmp_path / 'saved.fml', output_dir=str(tmp_path / 'again'))
    compared = hls4ml_ext.compare(again, model, x)
    assert [c.layer for c in compared] == expected_names()
    assert not any(c.mismatches for c in compared)
