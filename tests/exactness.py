"""The test that every layer has to pass: the C simulation equals Keras, bit for bit, at every layer.

A new layer gets its tests by a subclass::

    class TestMyLayer(ExactnessTest):
        models = {'3x3': lambda: branches((8, 9, 3), {'a': MyLayer(4), 'b': MyLayer(5, kernel_size=3)})}
        io_types = ('io_stream', 'io_parallel')
        reuse_factors = (1, 'mixed')

One model can hold many independent instances of a layer as parallel branches, so that one compilation tests all of them.
"""

from __future__ import annotations

import contextlib
import io

import cpp
import numpy as np

import hls4ml_ext
from hls4ml_ext.fixed import FixedType

INPUT = 'quantized_bits(8,0,alpha=1)'


# ---------------------------------------------------------------------------------------------------------------------
# Models
# ---------------------------------------------------------------------------------------------------------------------


def branches(shape, layers: dict, quantizer: str = INPUT):
    """A model of one quantized input and one output for each branch.

    Args:
        shape: Shape of the input.
        layers: Name -> a Keras layer, or a list of them, or a function from tensor to tensor.
        quantizer: Of the input.
    """
    import keras
    from qkeras import QActivation

    inputs = keras.Input(shape, name='image')
    x = QActivation(quantizer, name='input_quantizer')(inputs)
    outputs = []
    for layer in layers.values():
        out = x
        for part in layer if isinstance(layer, (list, tuple)) else [layer]:
            out = part(out)
        outputs.append(out)
    return randomize(keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0]))


def joined(shape, networks: dict, quantizers=(INPUT, 'quantized_bits(6,1,alpha=1)')):
    """A model of several quantized inputs of one shape, and one output for each network.

    Args:
        shape: Shape of each input.
        networks: Name -> a function from the list of quantized inputs to a tensor; at most seven, as hls4ml copies streams.
        quantizers: One for each input.
    """
    import keras
    from qkeras import QActivation

    names = [f'image{i}' for i in range(len(quantizers))]
    inputs = [keras.Input(shape, name=name) for name in names]
    sources = [QActivation(q, name=f'{name}_quantizer')(i) for q, name, i in zip(quantizers, names, inputs)]
    outputs = [network(sources) for network in networks.values()]
    return randomize(keras.Model(inputs, outputs if len(outputs) > 1 else outputs[0]))


def randomize(model, seed: int = 0):
    """Fills the weights with numbers that use the whole range of a quantizer with no integer bits, and some beyond it."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if weight.trainable:
            weight.assign(rng.normal(0, 0.6, weight.shape))
    return model


def images(shape, n_random: int = 10, quantizer: str = INPUT, seed: int = 0) -> np.ndarray:
    """Inputs that reach the corners: random ones, ties of the input quantizer, saturation, and the largest sums.

    Args:
        shape: Of one image.
        n_random: Number of images of each random kind.
        quantizer: The quantizer of the input.

    Returns:
        float32, (batch, *shape).
    """
    from hls4ml_ext.quantizers import activation_type, resolve

    ftype: FixedType = activation_type(resolve(quantizer), 'input')
    rng = np.random.default_rng(seed)
    lsb = 2.0**-ftype.frac
    lo, hi = ftype.lo * lsb, ftype.hi * lsb
    many = (n_random, *shape)
    parts = [
        rng.uniform(lo, hi, many),  # off the grid
        (rng.integers(ftype.lo - 2, ftype.hi + 3, many) + 0.5) * lsb,  # ties, of both signs and at both ends
        rng.integers(ftype.lo, ftype.hi + 1, many) * lsb,  # on the grid
        rng.normal(0, 4 * (hi - lo), many),  # mostly saturated
        rng.choice([lo, hi], many),  # large sums
        rng.choice([lo, 0, lsb, -lsb, hi], many, p=[0.05, 0.7, 0.1, 0.1, 0.05]),  # sparse
        *(np.full((1, *shape), v) for v in (0, lo, hi, 100 * lo - 100, 100 * hi, lsb / 2, -lsb / 2)),
    ]
    return np.concatenate(parts).astype(np.float32)


def images_of_all(shapes, n_random: int = 10, quantizers=(INPUT,)) -> list[np.ndarray]:
    """:func:`images` for each input of a model, so shuffled that every corner of one meets many of the others."""
    batches = [images(shape, n_random, quantizer, seed) for seed, (shape, quantizer) in enumerate(zip(shapes, quantizers))]
    return [np.random.default_rng(seed).permutation(batch) if seed else batch for seed, batch in enumerate(batches)]


# ---------------------------------------------------------------------------------------------------------------------
# Equality
# ---------------------------------------------------------------------------------------------------------------------


def as_list(x) -> list:
    return list(x) if isinstance(x, (list, tuple)) else [x]


def mixed_reuse(model, seed: int = 0, **kwargs) -> dict:
    """An ``hls_config`` with a different valid folding, storage and multiplier for each layer.

    Args:
        kwargs: For :func:`hls4ml_ext.convert`.
    """
    rng = np.random.default_rng(seed)
    layers = {}
    for node in all_layers(hls4ml_ext.convert(model, output_dir='unwritten', **kwargs)):
        settings = dict(node.settings)
        if node.possible_foldings():
            folding = node.possible_foldings()[rng.integers(len(node.possible_foldings()))]
            chosen = {'ReuseFactor': folding.reuse, 'SIMD': folding.simd, 'PE': folding.pe}
            settings |= {key: value for key, value in chosen.items() if key in settings}
            for key in ('SIMD', 'PE') if rng.random() < 0.3 else ():
                settings.pop(key, None)
        if 'WeightStorage' in settings:
            settings['WeightStorage'] = str(rng.choice(['auto', 'bram', 'lutram']))
            settings['MultImpl'] = str(rng.choice(['auto', 'dsp', 'lut']))
        layers[node.layer_name] = settings
    return {'LayerName': layers}


def all_layers(hls_model):
    """The exact layers of a converted model that stand for something in Keras's, and those inside of them."""
    from hls4ml_ext.layers.core import node

    return [n for n in node.all_layers(hls_model) if not n.inserted]


def convert(model, directory, io_type='io_stream', backend='Vitis', reuse=1, **kwargs):
    """:func:`hls4ml_ext.convert`, with a reuse factor for all layers: a number, 'mixed' or 'largest'."""
    if 'hls_config' not in kwargs:
        if reuse == 'mixed':
            kwargs['hls_config'] = mixed_reuse(model)
        else:
            kwargs['hls_config'] = {'Model': {'ReuseFactor': 10**9 if reuse == 'largest' else reuse}}
    return hls4ml_ext.convert(model, output_dir=str(directory), io_type=io_type, backend=backend, **kwargs)


def names_of(model, prefix: str = '') -> set[str]:
    """The names of a Keras model's layers, and of those inside of ODE blocks."""
    names = set()
    for layer in model.layers:
        names.add(prefix + layer.name)
        if isinstance(layer, hls4ml_ext.ODEBlock):
            names |= names_of(layer.dynamics, f'{prefix}{layer.name}.')
    return names


def assert_exact(model, hls_model, x, hardware_integers: bool = False):
    """Asserts that a converted model equals Keras at every layer and output.

    Args:
        model: The Keras model.
        hls_model: What it was converted to.
        x: Images; a list of them for a model of several inputs.
        hardware_integers: Compile once more, with the hardware's integers, and demand the same.
    """
    compared = hls4ml_ext.compare(hls_model, model, x)
    wrong = [c for c in compared if c.mismatches]
    assert not wrong, '\n'.join(map(str, wrong))
    names = names_of(model)
    expected = {n.name for n in all_layers(hls_model) if n.get_attr('output_of') in names}
    assert {c.node for c in compared} == expected
    expected = as_list(hls4ml_ext.predict(model, x, batch_size=len(as_list(x)[0])))
    assert_outputs_equal(hls_model, x, expected, hls_model.predict)
    simulated = as_list(hls4ml_ext.simulate(hls_model, x))
    assert [y.shape for y in simulated] == [y.shape for y in expected]
    assert all((y == want).all() for y, want in zip(simulated, expected))
    if hardware_integers:
        cpp.use_library(hls_model, hls_model.config.backend.compile(hls_model, cpp.HARDWARE_INTEGERS))
        assert_outputs_equal(hls_model, x, expected, hls_model.predict)
    return compared


def assert_outputs_equal(hls_model, x, expected, predict):
    got = as_list(predict(x))
    assert len(got) == len(expected)
    for name, y, k in zip(hls_model.outputs, got, expected):
        y = np.asarray(y).reshape(k.shape)
        different = y != k
        assert not different.any(), f'{name}: {different.sum()} of {y.size} differ, by up to {np.abs(y - k).max()}'


class ExactnessTest:
    """Base class: subclasses list what is to be equal.

    Attributes:
        models: Name -> function that builds a Keras model, whose first layer is the quantizer `quantizer`.
        quantizer: The quantizer of the input; of a model of several inputs a tuple of them.
        n_random: Number of images of each of six random kinds.
        hardware_integers: Whether to compile a second time with the hardware's integers.
    """

    models: dict = {}
    io_types = ('io_stream', 'io_parallel')
    backends = ('Vitis',)
    reuse_factors = (1,)
    quantizer = INPUT
    n_random = 6
    hardware_integers = False

    def test_equals_keras(self, build, io_type, backend, reuse, tmp_path):
        model = build()
        hls_model = convert(model, tmp_path / 'project', io_type, backend, reuse)
        assert_exact(model, hls_model, self.images(model), self.hardware_integers)

    def images(self, model):
        if len(model.inputs) == 1:
            return images(model.input_shape[1:], self.n_random, self.quantizer)
        return images_of_all([i.shape[1:] for i in model.inputs], self.n_random, self.quantizer)


def quietly(function, *args, **kwargs):
    """Calls a function of hls4ml without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return function(*args, **kwargs)
