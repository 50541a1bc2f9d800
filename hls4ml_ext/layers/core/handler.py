"""Keras-3 handlers for hls4ml's parser, which step back where hls4ml has its own.

The exact graph is built from the Keras model itself (see :mod:`hls4ml_ext.passes.exact_graph`), after hls4ml has parsed it.
The parser only needs not to stumble over our layers: each becomes a placeholder of the right shape.
"""

from __future__ import annotations

from hls4ml.converters.keras_v3._base import KerasV3LayerHandler, registry

STOCK_PACKAGES = ('keras', 'qkeras')
"""Packages whose layers hls4ml may learn to read."""


def handler_of_hls4ml(keras_class: str):
    """hls4ml's own Keras-3 handler of a layer class of Keras or QKeras.

    It is looked for by the name of the class, because modules move and hls4ml registers some handlers under the bare name;
    not in other packages: HGQ2 has a ``QDense`` as well.

    Args:
        keras_class: Full name of the class, ``'package.module.Class'``.

    Returns:
        The handler, whether it was registered before or after ours; None if hls4ml has none.
    """
    package, name = keras_class.split('.')[0], keras_class.rsplit('.', 1)[-1]
    if package not in STOCK_PACKAGES:
        return None
    for key, handler in registry.items():
        of_package = key == name or (key.split('.')[0] == package and key.rsplit('.', 1)[-1] == name)
        if of_package and not isinstance(handler, SteppingBackHandler):
            return handler
    return None


class SteppingBackHandler(KerasV3LayerHandler):
    """Base class of our handlers: hls4ml's own handler of the layer's class, if there is one, is used instead."""

    def serves(self, layer) -> bool:
        """Does `layer` need this handler? hls4ml tries its fallbacks on the others, as if the handler were not there."""
        return True

    def __call__(self, layer, in_tensors, out_tensors):
        theirs = handler_of_hls4ml(f'{type(layer).__module__}.{type(layer).__name__}')
        if theirs is not None:
            return theirs(layer, in_tensors, out_tensors)
        return super().__call__(layer, in_tensors, out_tensors) if self.serves(layer) else None


class PlaceholderHandler(SteppingBackHandler):
    """Reads a layer as a placeholder of the shape of its output."""

    def handle(self, layer, in_tensors, out_tensors):
        shape = [int(d) if d is not None else 0 for d in out_tensors[0].shape[1:]]
        return (
            {
                **self.default_config,
                'class_name': 'ExtPlaceholder',
                'out_shape': shape,
                'layer_class': type(layer).__name__,
            },
        )


def register_handler(classes, handler: SteppingBackHandler):
    """Lets hls4ml's parser read layers by one of our handlers.

    Args:
        classes: Full names of the layer classes. Those that are taken already are left to hls4ml's handler.
        handler: The handler.
    """
    for name in classes:
        theirs = handler_of_hls4ml(name)
        if theirs is None or registry.get(name) is not theirs:
            registry[name] = handler
