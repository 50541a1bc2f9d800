"""Layers that several builders have in common, quantized or in floating point."""

from __future__ import annotations

from hls4ml_ext.models.knobs import Quantizers


class Blocks:
    """Makes the layers of a quantized convolutional network; each method gives new ones.

    Args:
        quantizers: Those of the model.
    """

    def __init__(self, quantizers: Quantizers):
        self.q = quantizers

    def convolution(self, name: str, filters: int, kernel_size: int = 1, strides: int = 1) -> list:
        """Convolution with 'same' padding and without bias, and batch normalization."""
        from qkeras import QConv2D

        convolution = QConv2D(
            filters, kernel_size, strides=strides, padding='same', use_bias=False, kernel_quantizer=self.q.weights,
            kernel_initializer='he_normal', name=name,
        )  # fmt: skip
        return [convolution, self.normalization(name)]

    def depthwise(self, name: str, kernel_size: int = 3, strides: int = 1) -> list:
        """Depthwise convolution with 'same' padding and without bias, and batch normalization."""
        from qkeras import QDepthwiseConv2D

        convolution = QDepthwiseConv2D(
            kernel_size, strides=strides, padding='same', use_bias=False, depthwise_quantizer=self.q.weights,
            depthwise_initializer='he_normal', name=name,
        )  # fmt: skip
        return [convolution, self.normalization(name)]

    def normalization(self, name: str):
        """The batch normalization behind layer `name`."""
        import keras

        return keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f'{name}_bn')

    def relu(self, name: str):
        """A rectifier with the quantizer of activations."""
        return self.q.activation_layer(name, relu=True)

    def classifier(self, n_classes: int, n_pixels: int) -> list:
        """Global average pooling over `n_pixels` and the dense layer to the logits."""
        from qkeras import QDense, QGlobalAveragePooling2D

        return [
            QGlobalAveragePooling2D(average_quantizer=self.q.mean(n_pixels), name='pool'),
            self.q.activation_layer('pool_act'),
            QDense(n_classes, kernel_quantizer=self.q.weights, bias_quantizer=self.q.biases, name='logits'),
        ]


def chain(x, layers):
    """The tensor `x` after `layers`, one behind the other."""
    for layer in layers:
        x = layer(x)
    return x


def refuse_quantization(builder: str, quantization) -> None:
    """For the builders of networks to compare with.

    Raises:
        ExtError: if `quantization` is not None.
    """
    from hls4ml_ext.errors import ExtError

    if quantization is not None:
        raise ExtError(f'{builder} is for comparison only, in floating point: it has no quantizers. Use quantization=None')
