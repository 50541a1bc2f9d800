"""Refuses a graph with a node that has no RTL, at conversion."""

from __future__ import annotations

from hls4ml.model.layers import Input
from hls4ml.model.optimizer import ModelOptimizerPass

from hls4ml_ext.errors import ConversionError


class SpelledInRTL(ModelOptimizerPass):
    """Names the first layer without an RTL kernel, rather than write a project without it."""

    name = 'spelled_in_rtl'

    def __init__(self):
        pass

    def transform(self, model):
        for node in model.get_layers():
            if not isinstance(node, Input):
                check_spelled(node)
        return False


def check_spelled(node):
    """The RTL kernel of a node.

    Raises:
        ConversionError: naming the layer, if there is none.
    """
    from hls4ml_ext.registry import rtl_kernel_of

    kernel = rtl_kernel_of(node)
    if kernel is None:
        what = f'{node.kind} ({node.class_name})' if getattr(node, 'kind', '') else node.class_name
        remedy = "Use backend='Vitis', or give its operation an RTL kernel"
        raise ConversionError(getattr(node, 'layer_name', node.name), f'there is no RTL for layers of kind {what}', remedy)
    return kernel
