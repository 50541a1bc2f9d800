"""Facts about a converted model, as plain numbers: what goes into ``results.json`` and into the tables."""

from __future__ import annotations

import os
import platform
import sys
from math import ceil

import numpy as np

from hls4ml_ext.estimation.layers import family_of_graph, known_cost
from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.passes.lanes import cycles_of
from hls4ml_ext.report.versions import installed

TABLES = ('exp', 'reciprocal', 'table')
"""Names of weight arrays that are look-up tables: nothing that was trained."""


def layer_facts(hls_model) -> list[dict]:
    """The facts about every layer of a converted model, in order; see :func:`node_facts`."""
    family = family_of_graph(hls_model)
    return [node_facts(node, family) for node in hls_model.get_layers() if isinstance(node, ExactLayer)]


def node_facts(node, family: str | None = None) -> dict:
    """The facts about a layer.

    Args:
        node: Of a converted model.
        family: Of FPGAs, for RTL.

    Returns:
        dict: name, kernel (C++), shape and type of the output, parameters, weight_bits, table_bits, macs and cycles (for one
        image; within an ODE block for one evaluation of its dynamics; in RTL from one image to the next), multipliers, dsp,
        bram_18k and uram (slices and blocks: those of its RTL engines, or counted from products and memories), lanes (in and
        out), reuse_factor (None if it has none), inserted (a repack or a copy, put in by the converter), and the layers
        inside. An ODE block counts the parameters, multipliers and memories of the layers inside, once.
    """
    inner = [node_facts(n, family) for n in node.inner_layers()]
    cost, _ = known_cost(node, family)
    facts = {
        'name': node.name,
        'kernel': node.kind,
        'shape': [int(d) for d in node.get_attr('out_shape')],
        'type': str(node.result_type),
        'parameters': sum(layer['parameters'] for layer in inner),
        'weight_bits': sum(layer['weight_bits'] for layer in inner),
        'table_bits': sum(layer['table_bits'] for layer in inner),
        'macs': int(node.macs),
        'cycles': ceil(cycles_of(node)),
        'multipliers': int(node.multipliers),
        'dsp': int(cost.DSP) + sum(layer['dsp'] for layer in inner),
        'bram_18k': int(cost.BRAM_18K) + sum(layer['bram_18k'] for layer in inner),
        'uram': int(cost.URAM) + sum(layer['uram'] for layer in inner),
        'lanes': [node.lanes_in(), node.lanes_out],
        'reuse_factor': int(node.reuse) if hasattr(node, 'reuse') else None,
        'inserted': bool(node.inserted),
        'layers': inner,
    }
    if not inner:
        for name, weight in node.weights.items():
            width = weight.type.precision.width
            if width == 1 and np.ptp(weight.data) == 0:  # a layer without it
                continue
            facts['table_bits' if name in TABLES else 'weight_bits'] += int(weight.data.size * width)
            facts['parameters'] += 0 if name in TABLES else int(weight.data.size)
    return facts


def totals(layers: list[dict]) -> dict:
    """Sums over the layers of a model, and ``interval``: the cycles of the slowest one, which limit the throughput."""
    sums = {
        key: sum(layer[key] for layer in layers)
        for key in ('parameters', 'weight_bits', 'table_bits', 'macs', 'multipliers', 'dsp', 'bram_18k', 'uram')
    }
    slowest = max(layers, key=lambda layer: layer['cycles'])
    return {**sums, 'interval': slowest['cycles'], 'slowest': slowest['name']}


def add_comparisons(layers: list[dict], compared):
    """Adds ``mismatches``, ``values`` and ``max_error`` to the facts about layers that were compared with Keras.

    Args:
        layers: From :func:`layer_facts`; those inside of ODE blocks get the sums over all evaluations.
        compared: From :func:`hls4ml_ext.compare`.
    """
    for layer in layers:
        own = [c for c in compared if c.node == layer['name']]
        if own:
            layer['mismatches'] = sum(c.mismatches for c in own)
            layer['values'] = sum(c.values for c in own)
            layer['max_error'] = max(c.max_error for c in own)
        add_comparisons(layer['layers'], compared)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that results depend on, and Keras's ``backend``, also with its version."""
    import keras

    backend = keras.backend.backend()
    return {'backend': backend, **installed([backend])}


def machine() -> dict:
    """What the results were computed on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return {'platform': platform.platform(), 'cores': cores, 'command': ' '.join(['hls4ml-ext', *sys.argv[1:]])}
