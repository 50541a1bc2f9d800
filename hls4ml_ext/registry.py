"""What a layer extension consists of, and where it is registered.

An :class:`Operation` names all parts of one operation. Registering it checks that none is missing, so that a mistake shows
when the package is imported rather than in generated C++. ``docs/extend.md`` builds one from scratch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hls4ml.model.layers import layer_map, register_layer
from hls4ml.model.optimizer.optimizer import optimizer_map

from hls4ml_ext.errors import ExtError
from hls4ml_ext.layers.core import ExactLayer
from hls4ml_ext.layers.core.kernel import templates

Lowering = Callable[[object, list[str], object], str]


@dataclass(frozen=True)
class Operation:
    """One operation: Keras layers, the nodes they become, and how these are spelled in C++ and, if at all, in SystemVerilog.

    Args:
        name: What it is called in messages.
        lowerings: Full name of a Keras layer class (``'package.module.Class'``) -> function ``lower(layer, inputs, graph)``
            which adds the layer's nodes to the :class:`~hls4ml_ext.layers.core.GraphBuilder` and returns the name of the
            output tensor. Subclasses of the Keras layer are lowered alike.
        nodes: The node classes, subclasses of :class:`~hls4ml_ext.layers.core.ExactLayer`.
        kernels: How the nodes are spelled in C++: for each node one :class:`~hls4ml_ext.layers.core.HLSKernel`.
        headers: C++ headers, absolute paths; they are copied to ``nnet_utils/`` of a project.
        rtl_kernels: How the nodes are spelled in SystemVerilog: for each node at most one
            :class:`~hls4ml_ext.rtl.kernel.RTLKernel`. A node without one converts to C++ only.
        rtl_sources: SystemVerilog files, absolute paths, each with one module of the file's name; those that a project
            uses are copied into it.
        rtl_costs: What these modules consist of, from which their cost follows: name of a module -> function
            ``describe(structure, parameters)``, which adds to a :class:`~hls4ml_ext.cost.structure.Structure`. An estimate
            leaves a module without one out, and says so.
        unknown_to_hls4ml: The Keras classes among `lowerings` that stock hls4ml can't parse.
    """

    name: str
    lowerings: dict[str, Lowering] = field(default_factory=dict)
    nodes: tuple[type[ExactLayer], ...] = ()
    kernels: tuple[type, ...] = ()
    headers: tuple[Path, ...] = ()
    rtl_kernels: tuple[type, ...] = ()
    rtl_sources: tuple[Path, ...] = ()
    rtl_costs: dict[str, Callable] = field(default_factory=dict)
    unknown_to_hls4ml: tuple[str, ...] = ()

    def check(self):
        """Raises :class:`~hls4ml_ext.errors.ExtError` if a part is missing or doesn't fit."""
        for what, files in (('header', self.headers), ('SystemVerilog file', self.rtl_sources)):
            missing = [str(f) for f in files if not Path(f).is_file()]
            if missing:
                raise ExtError(f"operation '{self.name}': no such {what}: {', '.join(missing)}")
        for node in self.nodes:
            if not issubclass(node, ExactLayer):
                raise ExtError(f"operation '{self.name}': {node.__name__} is not a subclass of ExactLayer")
            if layer_map.get(node.__name__, node) is not node:
                raise ExtError(f"operation '{self.name}': hls4ml already has a layer called {node.__name__}")
            if not node.kind:
                raise ExtError(f"operation '{self.name}': node {node.__name__} does not say its kind")
            if not any(kernel.node is node for kernel in self.kernels):
                raise ExtError(f"operation '{self.name}': node {node.__name__} has no kernel")
        for kernel in (*self.kernels, *self.rtl_kernels):
            if kernel.node not in self.nodes:
                raise ExtError(f"operation '{self.name}': {kernel.__name__} spells a node that is not among its nodes")
            if getattr(kernel, 'header', '') and kernel.header not in {Path(h).name for h in self.headers}:
                raise ExtError(
                    f"operation '{self.name}': {kernel.__name__} wants {kernel.header}, which is not among its headers"
                )
        unknown = set(self.rtl_costs) - {Path(f).stem for f in self.rtl_sources}
        if unknown:
            raise ExtError(f"operation '{self.name}': costs of modules without a file: {', '.join(sorted(unknown))}")
        unknown = set(self.unknown_to_hls4ml) - set(self.lowerings)
        if unknown:
            raise ExtError(f"operation '{self.name}': no lowering for {', '.join(sorted(unknown))}")


_operations: dict[str, Operation] = {}


def operations() -> list[Operation]:
    """All registered operations, in the order of their registration."""
    return list(_operations.values())


def lowerings() -> dict[str, Lowering]:
    """All lowerings: full name of a Keras class -> function."""
    return {key: lower for op in _operations.values() for key, lower in op.lowerings.items()}


def rtl_kernel_of(node):
    """The RTL kernel of a node, or None."""
    kernels = (kernel for op in _operations.values() for kernel in op.rtl_kernels)
    return next((kernel() for kernel in kernels if isinstance(node, kernel.node)), None)


def rtl_sources() -> list[Path]:
    """The SystemVerilog files of all operations."""
    return [Path(path) for op in _operations.values() for path in op.rtl_sources]


def rtl_costs() -> dict[str, Callable]:
    """What the modules of all operations consist of: name of a module -> its description."""
    return {name: describe for op in _operations.values() for name, describe in op.rtl_costs.items()}


def rewrite_config(node):
    """Writes the C++ config of a node once more, for what has changed in it since it was written."""
    kernel = next(k for op in _operations.values() for k in op.kernels if k.node.__name__ == node.class_name)
    template, _ = templates(kernel)
    template().transform(node.model, node)


def register_operation(operation: Operation):
    """Makes hls4ml's Vivado and Vitis backends know an operation. Registering it again changes nothing.

    Args:
        operation: The operation.

    Raises:
        ExtError: if a part is missing, or another operation of that name is registered.
    """
    if _operations.get(operation.name) == operation:
        return
    if operation.name in _operations:
        raise ExtError(f"there already is an operation '{operation.name}'")
    operation.check()
    _operations[operation.name] = operation
    for node in operation.nodes:
        register_layer(node.__name__, node)
    for backend in _backends():
        for header in operation.headers:
            backend.register_source(Path(header))
    # Vitis runs Vivado's templates too: registering them there serves both.
    vivado = next(b for b in _backends() if b.name == 'Vivado')
    for template in (t for kernel in operation.kernels for t in templates(kernel)):
        if f'vivado:{template().get_name()}' not in optimizer_map:
            vivado.register_template(template)
    if operation.unknown_to_hls4ml:
        from hls4ml_ext.layers.core.handler import PlaceholderHandler, register_handler

        register_handler(operation.unknown_to_hls4ml, PlaceholderHandler())


def _backends():
    from hls4ml.backends.backend import backend_map

    return [backend_map[name] for name in ('vivado', 'vitis') if name in backend_map]
