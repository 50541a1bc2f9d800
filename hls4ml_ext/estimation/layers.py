"""What a layer takes: the engines that the RTL back end would place for it, each by the model of cost of its module."""

from __future__ import annotations

from hls4ml_ext.cost import Resources, engine_cost, has_cost
from hls4ml_ext.layers.core.node import ExactLayer, all_layers
from hls4ml_ext.registry import rtl_kernel_of
from hls4ml_ext.rtl.body import Body, Instance, Stream
from hls4ml_ext.rtl.build import family_of
from hls4ml_ext.rtl.kernel import stream_of
from hls4ml_ext.rtl.model import RTLModelGraph
from hls4ml_ext.rtl.project import source_of


def family_of_graph(hls_model, part: str | None = None) -> str | None:
    """The family of FPGAs by whose costs a graph is estimated; None for C++, whose LUTs nobody knows before synthesis.

    Args:
        part: The FPGA; None is that of the model.
    """
    if not isinstance(hls_model, RTLModelGraph):
        return None
    return family_of(part or str(hls_model.config.get_config_value('Part')))


def layer_engines(node: ExactLayer) -> list[Instance]:
    """The engines of a layer; those of an ODE block are its own, without those of the layers inside.

    Args:
        node: Of a graph of the RTL back end.
    """
    inside = {engine.name for layer in node.inner_layers() for engine in _placed(layer)}
    return [engine for engine in _placed(node) if engine.name not in inside]


def engines_of_layers(hls_model) -> dict[str, str]:
    """Name of each engine -> name of its layer, also inside of ODE blocks; for reports of synthesis.

    Args:
        hls_model: Of the RTL back end.
    """
    return {engine.name: node.layer_name for node in all_layers(hls_model) for engine in layer_engines(node)}


def _placed(node) -> list[Instance]:
    body = Body()
    inputs = [Stream(*stream_of(source_of(node.model, tensor), tensor)) for tensor in node.inputs]
    rtl_kernel_of(node).place(node, body, inputs, [Stream(*stream_of(node, tensor)) for tensor in node.outputs])
    return body.instances


def layer_cost(node: ExactLayer, family: str) -> Resources:
    """What the engines of a layer take; those of the layers inside of an ODE block are not counted.

    Args:
        node: Of a graph of the RTL back end.
        family: Of FPGAs, one of :func:`hls4ml_ext.cost.families`.

    Raises:
        ExtError: naming the module, if there is no model of its cost.
    """
    return _cost_of(layer_engines(node), family)


def _cost_of(engines: list[Instance], family: str) -> Resources:
    return sum((engine_cost(engine.module, engine.parameters, family) for engine in engines), Resources())


def known_cost(node: ExactLayer, family: str | None) -> tuple[Resources, bool]:
    """What a layer takes, as far as it is known.

    Args:
        node: Of a graph.
        family: Of FPGAs, for a graph of the RTL back end; None for another one.

    Returns:
        The cost of its engines, and True; or the DSPs and blocks of memory that the node declares, and False: another back
        end makes what it likes of them, and a layer of a user's own may have no model of its cost.
    """
    if family is not None:
        engines = layer_engines(node)
        if all(has_cost(engine.module) for engine in engines):
            return _cost_of(engines, family), True
    dsp, memories = sum(p.dsp for p in node.products), node.memories
    return Resources(DSP=dsp, BRAM_18K=sum(m.bram18 for m in memories), URAM=sum(m.uram for m in memories)), False
