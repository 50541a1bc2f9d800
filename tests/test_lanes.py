"""Lanes of streams, and the repacks between them."""

import keras
import numpy as np
import pytest
from exactness import INPUT, assert_exact, branches, convert, images, randomize
from qkeras import QActivation, QConv2D, QDepthwiseConv2D

import hls4ml_ext
from hls4ml_ext.layers.core.folding import MAX_BEAT_BITS
from hls4ml_ext.layers.core.node import lanes_of

W, A = 'quantized_bits(4,0,alpha=1)', 'quantized_bits(6,1,alpha=1)'


def chain(*filters):
    x = inputs = keras.Input((4, 5, 12), name='image')
    x = QActivation(INPUT, name='q')(x)
    for i, n in enumerate(filters):
        x = QActivation(A, name=f'a{i}')(QConv2D(n, 1, kernel_quantizer=W, use_bias=False, name=f'c{i}')(x))
    return randomize(keras.Model(inputs, x))


def graphs(hls_model):
    """A converted model's graph, and those inside of its layers."""
    found = [hls_model]
    for graph in found:
        found += [node.dynamics for node in graph.get_layers() if hasattr(node, 'dynamics')]
    return found


def check_ends(hls_model):
    """Every stream is as wide as its reader wants."""
    for graph in graphs(hls_model):
        for node in graph.get_layers():
            for i, tensor in enumerate(node.inputs):
                if tensor in graph.output_vars and hasattr(node, 'lanes_in'):
                    source = next(n for n in graph.get_layers() if tensor in n.outputs)
                    assert lanes_of(source) == node.lanes_in(i), (source.name, node.name)


@pytest.mark.parametrize('fast', [False, True])
@pytest.mark.parametrize(('pe', 'simd'), [(4, 6), (6, 4), (2, 12), (12, 3), (3, 4), (4, 4)])
def test_repacks(pe, simd, fast, tmp_path):
    """Between widths of which none divides the other: by the narrower way if it keeps up, else by the wider one."""
    model = chain(12, 12)
    layers = {'c0': {'SIMD': 12 if fast else 1, 'PE': pe}, 'c1': {'SIMD': simd, 'PE': 12 if fast else 1}}
    hls_model = convert(model, tmp_path / 'p', hls_config={'LayerName': layers})
    check_ends(hls_model)
    repacks = [n.name for n in hls_model.get_layers() if n.name.startswith('c0') and n.kind == 'repack']
    if pe == simd:
        assert repacks == []
    elif max(pe, simd) % min(pe, simd) == 0:
        assert repacks == [f'c0.to{simd}']
    else:
        slowest = max(n.cycles for n in hls_model.get_layers() if hasattr(n, 'cycles'))
        assert slowest == max(n.cycles for n in hls_model.get_layers() if n.name in ('c0', 'c1'))
        between = np.gcd(pe, simd) if not fast and 4 * 5 * 12 // np.gcd(pe, simd) <= slowest else np.lcm(pe, simd)
        assert repacks == [f'c0.to{between}', f'c0.to{simd}']


def test_repacks_are_exact(tmp_path):
    model = chain(12, 18)
    layers = {'c0': {'SIMD': 4, 'PE': 6}, 'c1': {'SIMD': 4, 'PE': 9}}
    hls_model = convert(model, tmp_path / 'p', hls_config={'LayerName': layers})
    assert_exact(model, hls_model, images((4, 5, 12), 3), hardware_integers=True)


@pytest.mark.parametrize('name', ['digits', 'cifar10', 'stl10_smoke', 'stl10_large'])
def test_beats_of_the_projects_are_narrow(name, tmp_path):
    """None over 1,024 bits, in no graph."""
    from hls4ml_ext.models import builder
    from hls4ml_ext.project import ModelFile, load_project
    from hls4ml_ext.shipped import project_path

    project = load_project(project_path(name))
    if isinstance(project.model, ModelFile):
        model = hls4ml_ext.load_model(project.model.file)
    else:
        shape = {'digits': (8, 8, 1)}.get(name, (96, 96, 3))
        knobs = project.model.knobs.model_dump()
        model = builder(project.model.builder).build(shape, 10, project.quantization, **knobs)
        model = hls4ml_ext.fold_batchnorm(model)
    hls_model = convert(model, tmp_path / 'p', hls_config=project.hls.hls_config())
    check_ends(hls_model)
    for graph in graphs(hls_model):
        for node in graph.get_layers():
            for out in node.outputs:
                variable = node.get_output_variable(out)
                assert variable.type.n_elem * variable.type.precision.width <= 1024, (node.name, variable.type.n_elem)
            window = getattr(node, 'window', None)
            if window is not None:
                assert window.taps * window.lanes * node.input_type().width <= 1024, (node.name, window)


def test_a_beat_that_is_too_wide_is_refused(tmp_path):
    model = chain(1024)
    with pytest.raises(
        hls4ml_ext.ConversionError, match=f"layer 'c0': .* bits, and Vitis HLS takes at most {MAX_BEAT_BITS}"
    ):
        convert(model, tmp_path / 'p', hls_config={'LayerName': {'c0': {'SIMD': 12, 'PE': 1024}}})
    assert not (tmp_path / 'p').exists()
    convert(model, tmp_path / 'p')  # by itself it takes what the tool can do


def test_taps_that_are_too_wide_are_refused(tmp_path):
    """All taps of many channels: a stream between two processes of the layer."""
    layer = QDepthwiseConv2D(3, depthwise_quantizer=W, use_bias=False, name='dw')
    model = branches((4, 4, 64), {'dw': layer}, 'quantized_bits(8,0,alpha=1)')
    message = f"layer 'dw': 9 taps of 64 channels have 4608 bits, .* at most {MAX_BEAT_BITS}.*lower SIMD or PE"
    with pytest.raises(hls4ml_ext.ConversionError, match=message):
        convert(model, tmp_path / 'p', hls_config={'LayerName': {'dw': {'SIMD': 9, 'PE': 64}}})
    assert not (tmp_path / 'p').exists()
    hls_model = convert(model, tmp_path / 'p')
    assert (hls_model.graph['dw'].get_attr('simd'), hls_model.graph['dw'].get_attr('pe')) == (9, 32)
