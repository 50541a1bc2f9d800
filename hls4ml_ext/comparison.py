"""The C simulation against Keras, layer by layer; inside of ODE blocks evaluation by evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from math import prod

import numpy as np

from hls4ml_ext import tracing
from hls4ml_ext.errors import ExtError
from hls4ml_ext.graph import check_hls_model, check_runnable
from hls4ml_ext.ports import Ports, batch_of, check_same_model
from hls4ml_ext.prediction import check_batch_size, check_keras_model, layers_as_written
from hls4ml_ext.simulation import compile, for_hls4ml, unpacked

MOST_VALUES = 1 << 25
"""Numbers of a batch's layers that :func:`compare` keeps in memory, unless a single image has more."""


@dataclass(frozen=True)
class LayerComparison:
    """How the output of one layer in the C simulation compares with Keras.

    Attributes:
        node: Name in the hls4ml graph.
        layer: Name of the Keras layer that the node computes; inside of an ODE block 'block.layer[evaluation]'.
        values: Number of compared values.
        mismatches: How many of them differ.
        max_error: The largest difference.
        shape: Shape of the output.
        quantizer: Name of the Keras layer behind `layer` that rounds its output, where the hardware does both at once: what
            is compared is the output of the quantizer. None if there is no such layer.
        evaluation: Inside of an ODE block the number of the evaluation of its dynamics, counted from 0 over the steps and
            stages for an image; else None. In a block inside of a block of n evaluations, evaluation i of the outer block is
            followed by the evaluations i * n to i * n + n - 1 of the inner one.
    """

    node: str
    layer: str
    values: int
    mismatches: int
    max_error: float
    shape: tuple[int, ...]
    quantizer: str | None = None
    evaluation: int | None = None


def compare(hls_model, keras_model, x, batch_size: int = 64, progress=None) -> list[LayerComparison]:
    """Compares every layer's output of the C simulation with Keras, for equality.

    Keras computes as :func:`hls4ml_ext.predict` does. Layers inside of an ODE block are compared in each evaluation of its
    dynamics, against what Keras gives there. Intermediate results that no Keras layer has, such as the parts of an attention
    layer, are compared through the layer that they are part of, and so are the layers of a nested model.

    Args:
        hls_model: A model from :func:`hls4ml_ext.convert`; it is compiled with tracing, unless that has been done.
        keras_model: The Keras model that it came from.
        x: Images, as :func:`simulate` takes them; at least one.
        batch_size: Images whose intermediate results are in memory at a time; fewer if these are very many.
        progress: Called with the number of images that are done, after each batch.

    Returns:
        One :class:`LayerComparison` for each layer, in the order of the data: the first one with mismatches is where the C
        simulation leaves Keras. Layers inside of a block come before the block, one evaluation after the other.

    Raises:
        ExtError: on images that :func:`simulate` refuses or none at all, another Keras model, or nothing to compare.
        ProjectError: if the model's project was deleted after it was compiled.

    Example::

        wrong = [c for c in hls4ml_ext.compare(hls_model, model, images) if c.mismatches]
        print(wrong[0].layer if wrong else 'equal')  # 'ode1.dw1[3]': in the evaluation after three others
    """
    check_hls_model(hls_model)
    check_keras_model(keras_model)
    check_batch_size(batch_size)
    check_same_model(hls_model, keras_model)
    arrays = batch_of(x, Ports.of_hls(hls_model).inputs)
    n = len(arrays[0])
    if n == 0:
        raise ExtError('there are no images to compare')
    reference = _Reference(hls_model.get_layers(), keras_model)
    if not reference.steps:
        raise ExtError(f"no layer of the Keras model '{keras_model.name}' is in the hls4ml model: nothing can be compared")
    if not tracing.is_on(hls_model) or hls_model._top_function_lib is None:
        compile(hls_model, trace=True)
    check_runnable(hls_model)
    batch_size = max(min(batch_size, MOST_VALUES // _values_of_an_image(hls_model)), 1)
    counts: dict[tuple, _Count] = {}
    for start in range(0, n, batch_size):
        batch = [array[start : start + batch_size] for array in arrays]
        _compare_batch(hls_model, reference, batch, counts)
        if progress:
            progress(len(batch[0]))
    return [count.comparison(*key) for key, count in counts.items()]


def _compare_batch(hls_model, reference: _Reference, batch: list[np.ndarray], counts: dict):
    """Adds a batch to the counts of each node and evaluation."""
    n = len(batch[0])
    trace, recording = tracing.trace(hls_model, unpacked(for_hls4ml(batch)), n)

    def check(node, evaluation, want):
        got = trace[node.name] if evaluation is None else recording.output(node, evaluation)
        counts.setdefault((node, evaluation), _Count()).add(got, want)

    with layers_as_written():
        reference.check(reference.model.predict(unpacked(batch), batch_size=n, verbose=0), None, check)


def _values_of_an_image(hls_model) -> int:
    layers = hls_model.get_layers()
    outside = sum(prod(node.get_attr('out_shape')) for node in tracing.traced_layers(layers))
    return outside + sum(layer.values for layer in tracing.inner_layers(layers))


class _Count:
    """The mismatches of one layer, in one evaluation."""

    def __init__(self):
        self.values = self.mismatches = 0
        self.max_error = 0.0
        self.shape = ()

    def add(self, got, want):
        """Compares two batches."""
        want = np.asarray(want, np.float64)
        got = np.asarray(got, np.float64).reshape(want.shape)
        self.values += want.size
        self.mismatches += int((got != want).sum())
        self.max_error = max(self.max_error, float(np.abs(got - want).max(initial=0)))
        self.shape = want.shape[1:]

    def comparison(self, node, evaluation) -> LayerComparison:
        layer = node.get_attr('computes') + ('' if evaluation is None else f'[{evaluation}]')
        quantizer = node.get_attr('rounded_by') or None
        counts = self.values, self.mismatches, self.max_error
        return LayerComparison(node.name, layer, *counts, self.shape, quantizer, evaluation)


class _Reference:
    """Keras's outputs of the layers of a model that have a node, and of those inside of its ODE blocks.

    Args:
        nodes: The nodes of the model's graph.
        keras_model: The model.
        prefix: What the names of nodes have before those of Keras's layers: 'block.' inside of a block.
    """

    def __init__(self, nodes, keras_model, prefix: str = ''):
        import keras

        from hls4ml_ext.layers.core.builder import functional_of
        from hls4ml_ext.layers.ode.keras import ODEBlock

        functional = functional_of(keras_model)
        calls = {prefix + node.operation.name: node for at_depth in functional._nodes_by_depth.values() for node in at_depth}
        self.steps = []  # a node or a block, and where its output or input is among the tensors
        tensors = []
        for node in tracing.traced_layers(nodes):
            computed, given = calls.get(node.get_attr('computes')), calls.get(node.get_attr('output_of'))
            if computed and isinstance(computed.operation, ODEBlock):
                self.steps.append((_Block(node, computed.operation, prefix), len(tensors)))
                tensors.append(computed.arguments.keras_tensors[0])
            if given:
                self.steps.append((node, len(tensors)))
                tensors.append(given.outputs[0])
        self.model = keras.Model(functional.inputs, [*tensors, *functional.outputs])

    def check(self, found: list, evaluation: int | None, check):
        """Checks the outputs of the layers.

        Args:
            found: What the model gives.
            evaluation: How often it has run for an image before; None outside of blocks.
            check: Called with a node, the evaluation and Keras's output, in the order of the data.
        """
        for step, i in self.steps:
            if isinstance(step, _Block):
                step.check(found[i], evaluation or 0, check)
            else:
                check(step, evaluation, found[i])


class _Block:
    """Keras's outputs inside of an ODE block.

    Args:
        node: The node of the block.
        layer: The block.
        prefix: What the node's name has before that of the block.
    """

    def __init__(self, node, layer, prefix: str):
        self.layer, self.evaluations = layer, node.evaluations
        self.inside = _Reference(node.inner_layers(), layer.dynamics, f'{prefix}{layer.name}.')

    def check(self, inputs, calls: int, check):
        """Integrates once more, and checks the outputs of the layers inside in each evaluation.

        Args:
            inputs: The inputs of the block for a batch.
            calls: How often the block has run for an image before.
            check: See :meth:`_Reference.check`.
        """
        import keras

        evaluation = count(calls * self.evaluations)

        def dynamics(stage):
            *found, slope = self.inside.model(stage, training=False)
            self.inside.check([keras.ops.convert_to_numpy(array) for array in found], next(evaluation), check)
            return slope

        self.layer.integrate(keras.ops.convert_to_tensor(inputs, self.layer.compute_dtype), dynamics)
