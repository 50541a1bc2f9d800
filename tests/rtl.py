"""The test that every engine has to pass: Verilator's model of it equals Keras, bit for bit, in the cycles of its formula.

A layer gets its tests by a subclass::

    class TestMyLayer(RTLTest):
        models = {'3x3': lambda: separate((8, 9, 3), {'a': MyLayer(4), 'b': MyLayer(5, kernel_size=3)})}
        foldings = (1, 'mixed')

One model can hold many layers, each with an input of its own: one build tests all of them, and none waits for another.
"""

from __future__ import annotations

import numpy as np
from exactness import INPUT, as_list, convert, images, images_of_all, randomize

import hls4ml_ext
from hls4ml_ext.layers.core.node import ExactLayer
from hls4ml_ext.registry import rtl_kernel_of
from hls4ml_ext.rtl.model import RTLModelGraph

PRESSURES = ((1, 50, 100), (2, 100, 50), (3, 60, 70), (4, 90, 10), (5, 10, 90))
"""(seed, how often a beat is offered, how often it is taken), in percent."""


def separate(shape, layers: dict, quantizer: str = INPUT):
    """A model of one quantized input and one output for each branch, which have nothing in common.

    Args:
        shape: Shape of each input, or name of a branch -> its shape.
        layers: Name -> a Keras layer, or a list of them, or a function from tensor to tensor.
        quantizer: Of the inputs.
    """
    import keras
    from qkeras import QActivation

    inputs, outputs = [], []
    for name, layer in layers.items():
        inputs.append(keras.Input(shape[name] if isinstance(shape, dict) else shape, name=f'{name}_image'))
        x = QActivation(quantizer, name=f'{name}_input_quantizer')(inputs[-1])
        for part in layer if isinstance(layer, (list, tuple)) else [layer]:
            x = part(x)
        outputs.append(x)
    return randomize(keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0]))


def inputs_of(model, n_random: int = 1, quantizer=INPUT) -> list[np.ndarray]:
    """Images for each input of a model, with its corners; see :func:`exactness.images`."""
    shapes = [tuple(tensor.shape[1:]) for tensor in model.inputs]
    quantizers = quantizer if isinstance(quantizer, tuple) else (quantizer,) * len(shapes)
    return images_of_all(shapes, n_random, quantizers) if len(shapes) > 1 else [images(shapes[0], n_random, quantizers[0])]


def convert_to_rtl(model, directory, reuse=1, **kwargs) -> RTLModelGraph:
    return convert(model, directory, backend='RTL', reuse=reuse, **kwargs)


def compiled(model, directory, reuse=1, **kwargs) -> RTLModelGraph:
    """A model as RTL, all of whose streams are watched."""
    hls_model = convert_to_rtl(model, directory, reuse, **kwargs)
    hls4ml_ext.compile(hls_model, trace=True)
    return hls_model


# ---------------------------------------------------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------------------------------------------------


def assert_rtl_exact(model, hls_model, x: list[np.ndarray], pressures=PRESSURES, resets: bool = True):
    """Asserts that RTL equals Keras: each layer, with the images one behind the other; under pressure; after a reset.

    Args:
        x: Images for each input.
        pressures: See :data:`PRESSURES`.
        resets: Whether to reset it in the middle of the first image, and in a later one.
    """
    compared = hls4ml_ext.compare(hls_model, model, x if len(x) > 1 else x[0], batch_size=len(x[0]))
    wrong = [c for c in compared if c.mismatches]
    assert not wrong, '\n'.join(map(str, wrong))
    expected = [np.asarray(y) for y in as_list(hls4ml_ext.predict(model, x if len(x) > 1 else x[0]))]
    assert_equal(hls_model, hls_model.run_batch(x), expected, 'free')
    for seed, valid, ready in pressures:
        record = hls_model.run_once(x, seed=seed, valid=valid, ready=ready)
        assert_equal(hls_model, hls_model._outputs_of(record, len(x[0])), expected, (seed, valid, ready))
    beats = len(hls_model.run_once([a[:1] for a in x]).outputs[0])
    for after in {0, beats // 2, beats + beats // 2} if resets else ():
        record = hls_model.run_once(x, seed=after, valid=80, ready=80, reset_after=after)
        assert_equal(hls_model, hls_model._outputs_of(record, len(x[0])), expected, f'reset after {after} beats')


def assert_equal(hls_model, got, expected, run):
    assert len(got) == len(expected)
    for name, y, want in zip(hls_model.outputs, got, expected):
        different = y.reshape(want.shape) != want
        assert not different.any(), f'{name}, {run}: {different.sum()} of {y.size} differ'


def streams(hls_model, record) -> dict[str, np.ndarray]:
    """Tensor -> the cycles in which its beats moved; of those streams that were watched."""
    times = dict(zip(hls_model.inputs, record.input_times)) | dict(zip(hls_model.outputs, record.output_times))
    watched = {stream: node.outputs[0] for node, stream, _ in hls_model.traced()}
    return times | {watched[name]: t for name, t in zip(hls_model.probes, record.probe_times) if name in watched}


def assert_cycles(hls_model, x: list[np.ndarray], images: int = 24, of=None):
    """Asserts that engines take the cycles of their formulas: for one image, and from one image to the next.

    Each engine has to be fed at a beat a cycle, and to give its results to somebody who always takes them.

    Args:
        images: To count the interval of.
        of: Classes of the nodes to count; None are all that users know.
    """
    one = streams(hls_model, hls_model.run_once([a[:1] for a in x]))
    many = streams(hls_model, hls_model.run_once([np.resize(a, (images, *a.shape[1:])) for a in x]))
    wrong, counted = [], 0
    for node in hls_model.get_layers():
        if not isinstance(node, of or ExactLayer) or (of is None and node.inserted) or len(node.outputs) > 1:
            continue
        kernel = rtl_kernel_of(node)
        given, taken = one[node.outputs[0]], [one[t] for t in node.inputs]
        measured = int(given[-1] - min(t[0] for t in taken) + 1)
        formula = kernel.cycles(node) + kernel.latency(node)
        ends = many[node.outputs[0]][node.n_beats - 1 :: node.n_beats]
        interval, settled = kernel.interval(node), ends[images // 2 - 1 : -1]  # nothing follows the last image
        measured_interval = (settled[-1] - settled[0]) / (len(settled) - 1)
        counted += 1
        if measured != formula or measured_interval != interval:
            wrong.append(
                f'{node.layer_name}: {measured} cycles, not {kernel.cycles(node)} + {kernel.latency(node)} = {formula}; '
                f'{measured_interval} between images, not {interval}'
            )
    assert not wrong, f'{len(wrong)} of {counted}\n' + '\n'.join(wrong)
    assert counted


class RTLTest:
    """Base class: subclasses list what is to be equal.

    Attributes:
        models: Name -> function that builds a Keras model, whose first layers are the quantizers `quantizer`.
        foldings: Reuse factors, 'mixed', 'largest'.
        quantizer: The quantizer of each input; a tuple has one for each.
        n_random: Number of images of each of six random kinds.
        pressures: See :data:`PRESSURES`.
        cycles: Whether to compare cycles with the formulas: in models of layers that wait for nobody.
    """

    models: dict = {}
    foldings = (1, 'mixed', 'largest')
    quantizer = INPUT
    n_random = 1
    pressures = PRESSURES
    cycles = True

    def test_rtl(self, build, folding, tmp_path):
        model = build()
        hls_model = compiled(model, tmp_path / 'project', folding)
        x = inputs_of(model, self.n_random, self.quantizer)
        assert_rtl_exact(model, hls_model, x, self.pressures)
        if self.cycles:
            assert_cycles(hls_model, x)
