"""Random small networks: the C simulation of each equals Keras, bit for bit, at every layer.

A compilation costs seconds, so one model holds several networks as branches. ``pytest --networks 3000`` tests that many.
"""

import tempfile
from pathlib import Path

import hypothesis.strategies as st
import pytest
from exactness import branches, convert, images
from hypothesis import HealthCheck, Phase, Verbosity, assume, given, settings
from networks import build, networks

import hls4ml_ext

BRANCHES = 12


@st.composite
def models(draw):
    """The shape of the image and several networks."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(2, 5), st.integers(1, 3)))
    return shape, draw(st.lists(networks(shape[2]), min_size=BRANCHES, max_size=BRANCHES))


def sort_out_too_wide(shape, descriptions):
    """Networks without those whose sums float32 can't hold: conversion must say so, it need not convert them."""
    kept = {}
    for i, parts in enumerate(descriptions):
        model = branches(shape, {f'network{i}': [build(p) for p in parts]})
        try:
            hls4ml_ext.config_from_model(model, granularity='name')
        except hls4ml_ext.PrecisionError:
            continue
        kept[f'network{i}'] = parts
    return kept


@pytest.mark.slow
def test_random_networks(request):
    wanted = request.config.getoption('--networks')
    tested, refused = [], []

    @settings(
        max_examples=max(
            -(-wanted // BRANCHES), 20
        ),  # what hypothesis draws depends on it: few networks are the first of many
        deadline=None,
        database=None,
        derandomize=request.config.getoption('--networks-seed') is None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],  # shrinking costs a compilation a step: the failing layer is named instead
        verbosity=Verbosity.quiet,
    )
    @given(models(), st.sampled_from(['io_stream', 'io_stream', 'io_parallel']), st.sampled_from([1, 'mixed', 'largest']))
    def run(drawn, io_type, reuse):
        if sum(tested) >= wanted:
            return
        shape, descriptions = drawn
        kept = sort_out_too_wide(shape, descriptions)
        refused.append(len(descriptions) - len(kept))
        assume(kept)
        model = branches(shape, {name: [build(p) for p in parts] for name, parts in kept.items()})
        with tempfile.TemporaryDirectory() as directory:
            hls_model = convert(model, Path(directory) / 'project', io_type, reuse=reuse)
            compared = hls4ml_ext.compare(hls_model, model, images(shape, 2))
        wrong = [c for c in compared if c.mismatches]
        assert not wrong, f'{shape} {io_type} {reuse}\n' + '\n'.join(map(str, [*wrong, *kept.items()]))
        tested.append(len(kept))

    if request.config.getoption('--networks-seed') is not None:
        from hypothesis import seed

        run = seed(request.config.getoption('--networks-seed'))(run)
    run()
    print(f'{sum(tested)} random networks are exact, {sum(refused)} were refused as too wide for float32')
    assert sum(tested) >= 0.7 * wanted
