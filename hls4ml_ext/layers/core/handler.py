"""Keras-3 handlers for hls4ml's parser.

The exact graph is built from the Keras model itself (see :mod:`hls4ml_ext.passes.exact_graph`), after hls4ml has parsed it.
The parser only needs not to stumble over our layers: each becomes a placeholder of the right shape.
"""

from __future__ import annotations


def register_placeholder_handler(classes):
    """Lets hls4ml's parser accept the Keras layers of the given full class names."""
    from hls4ml.converters.keras_v3._base import KerasV3LayerHandler

    class PlaceholderHandler(KerasV3LayerHandler):
        handles = tuple(classes)

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
