"""A node with another folding is what a conversion with that folding makes."""

import keras
import pytest
from exactness import INPUT, convert, randomize
from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D

import hls4ml_ext
from hls4ml_ext.registry import rtl_kernel_of
from hls4ml_ext.rtl.body import Body, Stream
from hls4ml_ext.rtl.kernel import stream_of

W, B, A = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(8,2,alpha=1)', 'quantized_bits(6,1,alpha=1)'


def model(attention, position):
    x = inputs = keras.Input((6, 5, 4), name='image')
    x = QActivation(INPUT, name='q')(x)
    x = QActivation(A, name='a1')(QConv2D(8, 3, 2, 'same', kernel_quantizer=W, bias_quantizer=B, name='c')(x))
    x = QActivation(A, name='a2')(QDepthwiseConv2D(3, padding='same', depthwise_quantizer=W, bias_quantizer=B, name='d')(x))
    x = hls4ml_ext.MultiHeadSelfAttention2D(
        2, 4, attention=attention, position=position, kernel_quantizer=W, bias_quantizer=B, output_quantizer=A, name='mhsa'
    )(x)
    x = hls4ml_ext.QLayerNormalization(output_quantizer=A, name='norm')(x)
    x = QDense(6, kernel_quantizer=W, bias_quantizer=B, name='fc')(keras.layers.Flatten(name='flat')(x))
    return randomize(keras.Model(inputs, x))


def hardware(node):
    """Engines without the depths of their FIFOs and the files of their ROMs, cycles, memories and products."""
    body, kernel = Body(), rtl_kernel_of(node)
    kernel.place(
        node, body, [Stream('s', node.lanes_in() * node.input_type().width)], [Stream(*stream_of(node, node.outputs[0]))]
    )
    engines = [
        (e.module, {k: v for k, v in e.parameters.items() if k != 'DEPTH' and 'ROMS' not in str(v)}) for e in body.instances
    ]
    return engines, kernel.cycles(node), kernel.interval(node), kernel.latency(node), node.memories, node.products


@pytest.mark.parametrize('attention, position', [('relu', 'relative'), ('softmax', 'additive'), ('relu', None)])
def test_as_converted(attention, position, tmp_path):
    keras_model = model(attention, position)
    first = convert(keras_model, tmp_path / 'p', backend='RTL')
    nodes = [node for node in first.get_layers() if hasattr(node, 'possible_foldings') and node.possible_foldings()]
    assert {node.kind for node in nodes} >= {'conv2d', 'depthwise_conv2d', 'dense', 'layer_norm', f'{attention}_attention'}
    before = {node.name: hardware(node) for node in nodes}
    most, compared = max(len(node.possible_foldings()) for node in nodes), 0
    for i in range(0, most, 3):
        config, chosen = {}, {}
        for node in nodes:
            chosen[node.name] = folding = node.possible_foldings()[i % len(node.possible_foldings())]
            config[node.name] = {'SIMD': folding.simd, 'PE': folding.pe}
            config[node.name] = {k: v for k, v in config[node.name].items() if k in node.settings}
        other = convert(keras_model, tmp_path / 'p', backend='RTL', hls_config={'Model': {}, 'LayerName': config})
        for node in nodes:
            assert hardware(node.refolded(chosen[node.name])) == hardware(other.graph[node.name]), (
                node.name,
                chosen[node.name],
            )
            compared += 1
    assert compared > 5 * len(nodes)
    assert {node.name: hardware(node) for node in nodes} == before  # those of the graph are as they were
