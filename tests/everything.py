"""A model with every kernel."""

import keras
from exactness import INPUT, randomize
from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D

import hls4ml_ext

W, B, A = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(8,2,alpha=1)', 'quantized_bits(6,1,alpha=1)'


def everything(attention: str):
    """A model with every kernel."""
    x = inputs = keras.Input((8, 8, 3), name='image')
    x = QConv2D(4, 3, padding='same', kernel_quantizer=W, bias_quantizer=B, name='c')(QActivation(INPUT, name='q')(x))
    x = keras.layers.MaxPooling2D(2, name='pool')(QActivation(A, name='qc')(x))
    state = keras.Input((4, 4, 4))
    slope = QDepthwiseConv2D(3, padding='same', depthwise_quantizer=W, bias_quantizer=B, activation=A, name='d')(state)
    slope = QConv2D(4, 1, kernel_quantizer=W, bias_quantizer=B, activation=A, name='p')(slope)
    dynamics = keras.Model(state, slope)
    x = hls4ml_ext.ODEBlock(
        dynamics, n_steps=3, solver='midpoint', state_quantizer='quantized_bits(8,2,alpha=1)', name='ode'
    )(x)
    x = hls4ml_ext.MultiHeadSelfAttention2D(2, 2, attention=attention, output_quantizer=A, name='mhsa')(x)
    x = hls4ml_ext.QLayerNormalization(output_quantizer=A, name='norm')(x)
    y = QActivation('quantized_bits(4,1,alpha=1)', name='y')(x)
    x = keras.layers.Add(name='add')([x, y])
    x = keras.layers.GlobalAveragePooling2D(name='gap')(QActivation(A, name='qa')(x))
    x = QDense(5, kernel_quantizer=W, bias_quantizer=B, name='fc')(QActivation(A, name='qg')(x))
    return randomize(keras.Model(inputs, x))
