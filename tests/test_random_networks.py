"""Random small networks: the C simulation of each, and its RTL, equal Keras, bit for bit, at every layer.

A compilation costs seconds, so one model holds several networks as branches. ``pytest --networks 3000 --rtl-networks 500``
tests that many.
"""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from exactness import branches, convert, images, images_of_all, joined
from hypothesis import HealthCheck, Phase, Verbosity, assume, given, settings
from networks import KINDS, apply, build, networks, networks_of_two_inputs
from rtl import assert_rtl_exact, convert_to_rtl

import hls4ml_ext
from hls4ml_ext.registry import operations

BRANCHES = 12
BRANCHES_OF_TWO_INPUTS = 6
QUANTIZERS = ('quantized_bits(8,0,alpha=1)', 'quantized_bits(6,1,alpha=1)')


@st.composite
def models(draw, kinds=KINDS):
    """The shape of the image and several networks."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(2, 5), st.integers(1, 3)))
    return shape, draw(st.lists(networks(shape[2], kinds), min_size=BRANCHES, max_size=BRANCHES))


@st.composite
def models_of_two_inputs(draw):
    """The shape of both images and several networks."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(2, 5), st.integers(1, 3)))
    n = BRANCHES_OF_TWO_INPUTS
    return shape, draw(st.lists(networks_of_two_inputs(shape[2]), min_size=n, max_size=n))


def one_input(shape, descriptions: dict):
    return branches(shape, {name: [build(p) for p in parts] for name, parts in descriptions.items()})


def two_inputs(shape, descriptions: dict):
    return joined(shape, {name: lambda x, parts=parts: apply(parts, x) for name, parts in descriptions.items()}, QUANTIZERS)


def sort_out_too_wide(shape, descriptions, assemble):
    """Networks without those whose sums float32 can't hold: conversion must say so, it need not convert them."""
    kept = {}
    for i, parts in enumerate(descriptions):
        try:
            hls4ml_ext.config_from_model(assemble(shape, {f'network{i}': parts}), granularity='name')
        except hls4ml_ext.PrecisionError:
            continue
        kept[f'network{i}'] = parts
    return kept


def check_cpp(model, directory, io_type, reuse, x):
    """Compares the C simulation with Keras."""
    hls_model = convert(model, directory, io_type, reuse=reuse)
    wrong = [c for c in hls4ml_ext.compare(hls_model, model, x) if c.mismatches]
    assert not wrong, '\n'.join(map(str, wrong))


def check_rtl(model, directory, io_type, reuse, x):
    """Compares the RTL with Keras, also under pressure, and with a reset in between."""
    hls_model = convert_to_rtl(model, directory, reuse)
    assert_rtl_exact(model, hls_model, [x], pressures=((1, 60, 70), (2, 90, 30)))


def check_random_networks(request, drawn_models, assemble, draw_images, wanted, per_model, check=check_cpp):
    """Draws models until `wanted` networks are exact.

    Args:
        drawn_models: Strategy for the shape of the input and descriptions of networks.
        assemble: Function from a shape and descriptions to one Keras model of them all.
        draw_images: Function from a shape to images.
        per_model: Networks that a model has.
        check: Asserts that a model is exact.
    """
    tested, refused = [], []
    io_types = st.sampled_from(['io_stream', 'io_stream', 'io_parallel'])

    @settings(
        max_examples=max(
            -(-wanted // per_model), 20
        ),  # what hypothesis draws depends on it: few networks are the first of many
        deadline=None,
        database=None,
        derandomize=request.config.getoption('--networks-seed') is None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # shrinking costs a compilation a step: the failing layer is named instead
        verbosity=Verbosity.quiet,
    )
    @given(drawn_models, io_types, st.sampled_from([1, 'mixed', 'largest']))
    def run(drawn, io_type, reuse):
        if sum(tested) >= wanted:
            return
        shape, descriptions = drawn
        kept = sort_out_too_wide(shape, descriptions, assemble)
        refused.append(len(descriptions) - len(kept))
        assume(kept)
        model = assemble(shape, kept)
        with tempfile.TemporaryDirectory() as directory:
            try:
                check(model, Path(directory) / 'project', io_type, reuse, draw_images(shape))
            except (AssertionError, hls4ml_ext.ExtError) as e:
                raise AssertionError(f'{shape} {io_type} {reuse}: {e}\n' + '\n'.join(map(str, kept.items()))) from e
        tested.append(len(kept))

    if request.config.getoption('--networks-seed') is not None:
        from hypothesis import seed

        run = seed(request.config.getoption('--networks-seed'))(run)
    run()
    print(f'{sum(tested)} random networks are exact, {sum(refused)} were refused as too wide for float32')
    assert sum(tested) >= 0.7 * wanted


@pytest.mark.slow
def test_random_networks(request):
    wanted = request.config.getoption('--networks')
    check_random_networks(request, models(), one_input, lambda shape: images(shape, 2), wanted, BRANCHES)


@pytest.mark.slow
def test_random_networks_of_two_inputs(request):
    def both(shape):
        return images_of_all([shape, shape], 4, QUANTIZERS)

    wanted = request.config.getoption('--networks') // 4
    check_random_networks(request, models_of_two_inputs(), two_inputs, both, wanted, BRANCHES_OF_TWO_INPUTS)


NEEDED = {
    'conv': {'ExactConv2D', 'ExactDepthwiseConv2D', 'ExactDense', 'ExactRepack'},
    'ode': {'ExactODEBlock'},
    'attention': {'ExactReluAttention', 'ExactSoftmaxAttention'},
    'norm': {'ExactLayerNorm'},
    'pool': {'ExactPooling2D', 'ExactGlobalPooling2D'},
    'skip': {'ExactAdd', 'ExactCopy'},
    'quantize': {'ExactQuantize'},
}
"""The nodes that the parts of a network become."""


@pytest.mark.slow
def test_random_networks_in_rtl(request):
    """Of all kinds of layers that have RTL."""
    spelled = {kernel.node.__name__ for operation in operations() for kernel in operation.rtl_kernels}
    kinds = tuple(kind for kind in KINDS if NEEDED[kind] <= spelled)
    assert {'conv', 'skip', 'quantize'} <= set(kinds)
    wanted = request.config.getoption('--rtl-networks')
    check_random_networks(request, models(kinds), one_input, lambda shape: images(shape, 1), wanted, BRANCHES, check_rtl)
