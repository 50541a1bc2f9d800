"""The entry point ``hls4ml.backends``: ``import hls4ml`` calls :func:`register`, and knows our layers from then on."""

from __future__ import annotations

from hls4ml.model.flow import get_flow, register_flow
from hls4ml.model.flow.flow import flow_map
from hls4ml.model.layers import layer_map, register_layer
from hls4ml.model.optimizer import register_pass
from hls4ml.model.optimizer.optimizer import optimizer_map

FLOW = 'hls4ml_ext'


def register(*_, **__):
    """Registers every operation and pass with the Vivado and Vitis backends.

    It may be called any number of times, and in any order with other plugins. It registers the RTL backend.

    Args:
        _, __: What hls4ml hands to its plugins, two functions to register backends and writers.
    """
    from hls4ml.backends.backend import backend_map, register_backend
    from hls4ml.writer.writers import register_writer

    from hls4ml_ext import passes
    from hls4ml_ext.layers import load_operations
    from hls4ml_ext.layers.core.node import ExactInput, ExtPlaceholder
    from hls4ml_ext.layers.qkeras.handlers import register_handlers
    from hls4ml_ext.registry import register_operation
    from hls4ml_ext.rtl.backend import NAME, RTLBackend, RTLWriter
    from hls4ml_ext.saving import register_keras_classes, running_hls4ml_command

    if 'rtl' not in backend_map:
        register_writer(NAME, RTLWriter)
        register_backend(NAME, RTLBackend)
    for node in (ExactInput, ExtPlaceholder):
        if layer_map.get(node.__name__) is not node:
            register_layer(node.__name__, node)
    for operation in load_operations():
        register_operation(operation)
    register_handlers()

    for pass_class in (*passes.EXACT, *passes.RTL_TYPES, *passes.WRITE, *passes.WRITTEN):
        if pass_class.name not in optimizer_map:
            register_pass(pass_class.name, pass_class)
    if FLOW not in flow_map:
        register_flow(FLOW, [p.name for p in passes.EXACT])
        # Before anything that hls4ml does to a graph.
        get_flow('convert').requires.insert(0, FLOW)
    for backend, added in (('vivado', passes.TYPES), ('rtl', passes.RTL_TYPES)):  # Vitis runs Vivado's, too
        types = get_flow(f'{backend}:specific_types')
        types.optimizers.extend(p.name for p in added if p.name not in types.optimizers)
    write = get_flow('rtl:write')
    write.optimizers[:0] = [p.name for p in passes.WRITE if p.name not in write.optimizers]
    for backend in ('vivado', 'vitis'):
        write = get_flow(f'{backend}:write')
        write.optimizers[:0] = [p.name for p in passes.WRITE if p.name not in write.optimizers]
        write.optimizers.extend(p.name for p in passes.WRITTEN if p.name not in write.optimizers)
    if running_hls4ml_command():
        register_keras_classes()
