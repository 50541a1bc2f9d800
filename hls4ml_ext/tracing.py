"""What the layers of a simulation give: outside of ODE blocks once for an image, inside in each evaluation."""

from __future__ import annotations

import contextlib
import ctypes
import io
from collections import Counter
from dataclasses import dataclass
from math import prod

import numpy as np

from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.registry import rewrite_config

RECORDER = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_char_p)
"""``recorder_t`` of ``nnet_record_ext.h``."""


def traced_layers(nodes) -> list[ExactLayer]:
    """The nodes whose output can be recorded: our layers, except for copies of streams, which have several."""
    return [n for n in nodes if isinstance(n, ExactLayer) and len(n.outputs) == 1]


@dataclass(frozen=True)
class InnerLayer:
    """A layer inside of an ODE block.

    Attributes:
        node: Its node in the graph of the dynamics.
        evaluations: How often it runs for an image; inside of a block in a block the product of both.
    """

    node: ExactLayer
    evaluations: int

    @property
    def values(self) -> int:
        """Numbers that it gives for an image."""
        return self.evaluations * prod(self.node.get_attr('out_shape'))


def inner_layers(nodes, evaluations: int = 1) -> list[InnerLayer]:
    """The traced layers inside of nodes, and inside of these, in the order of their data.

    Args:
        nodes: Nodes of a graph.
        evaluations: How often the graph runs for an image.
    """
    found = []
    for node in nodes:
        inner, n = node.inner_layers() if isinstance(node, ExactLayer) else [], evaluations * getattr(node, 'evaluations', 1)
        found += inner_layers(inner, n)
        found += [InnerLayer(layer, n) for layer in traced_layers(inner)]
    return found


def switch_on(hls_model):
    """Lets the project that is written from now on record every layer."""
    hls_model.config.trace_output = True
    for node in traced_layers(hls_model.get_layers()):
        node.set_attr('trace', True)
    _switch_on_inside(hls_model.get_layers())


def _switch_on_inside(nodes):
    for node in nodes:
        inner = node.inner_layers() if isinstance(node, ExactLayer) else []
        if inner:
            for layer in traced_layers(inner):
                layer.set_attr('trace', True)
            _switch_on_inside(inner)
            if node.get_attr('config_cpp'):
                rewrite_config(node)  # it holds the calls of the layers inside


def is_on(hls_model) -> bool:
    """Whether every layer is recorded."""
    nodes = traced_layers(hls_model.get_layers()) + [layer.node for layer in inner_layers(hls_model.get_layers())]
    return hls_model.config.trace_output and all(node.get_attr('trace', False) for node in nodes)


class Recording:
    """What the layers inside of ODE blocks give for a batch.

    Args:
        layers: The layers to record.
        n_images: Number of images, which are simulated one after the other.
    """

    def __init__(self, layers: list[InnerLayer], n_images: int):
        self.arrays = {
            layer.node.name: np.zeros((n_images * layer.evaluations, *layer.node.get_attr('out_shape')), np.int64)
            for layer in layers
        }
        self.evaluations = {layer.node.name: layer.evaluations for layer in layers}
        self.counts = Counter()

    def next(self, name: bytes) -> int | None:
        """The address for the next tensor of a layer; None if there is no room."""
        name = name.decode()
        number = self.counts[name]
        self.counts[name] += 1
        array = self.arrays.get(name, ())
        return array[number].ctypes.data if number < len(array) else None

    def output(self, node, evaluation: int) -> np.ndarray:
        """The output of a layer in an evaluation: float64, (images, *shape)."""
        stored = self.arrays[node.name][evaluation :: self.evaluations[node.name]]
        return np.ldexp(stored.astype(np.float64), -node.result_type.frac)


def trace(hls_model, x, n_images: int) -> tuple[dict[str, np.ndarray], Recording]:
    """Runs the simulation of a model that has been compiled with tracing.

    Args:
        hls_model: The model.
        x: A batch, as ``hls_model.trace`` takes it.
        n_images: Its size.

    Returns:
        Name of a node -> its output, (batch, *shape); and what the layers inside of ODE blocks give.
    """
    if hasattr(hls_model, 'record'):  # streams of RTL
        return hls_model.record(x)
    recording = Recording(inner_layers(hls_model.get_layers()), n_images)
    recorder = RECORDER(recording.next)
    # Without a block there is nothing inside, and no function that records it.
    record = hls_model._top_function_lib.hls4ml_ext_record if recording.arrays else lambda recorder: None
    hls_model.compile = lambda: None  # which hls4ml does each time
    record(recorder)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return hls_model.trace(x)[1], recording
    finally:
        record(None)
        del hls_model.compile
