"""Rules that a vendor's tool would enforce late or in silence, on generated projects as synthesis sees them."""

import re

import hls_ast
import pytest
from everything import everything
from exactness import convert, quietly

from hls4ml_ext.models.ode_mhsa import build


def digits():
    from hls4ml_ext import fold_batchnorm

    return fold_batchnorm(build((8, 8, 1), 10, preset='8x8'))


MODELS = {
    'digits': lambda: (digits(), 16),
    'relu': lambda: (everything('relu'), 2),
    'softmax': lambda: (everything('softmax'), 'mixed'),
}


@pytest.fixture(scope='module', params=list(MODELS))
def project(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp(request.param) / 'p'
    model, reuse = MODELS[request.param]()
    quietly(convert(model, directory, reuse=reuse).write)
    return hls_ast.Project(directory)


@pytest.mark.parametrize('rule', hls_ast.RULES, ids=lambda rule: rule.__name__)
def test_rule(rule, project):
    assert len(project.functions) > 20
    assert rule(project) == []


def test_beats_are_narrow(project):
    bits, name = hls_ast.widest_beat(project)
    assert 0 < bits <= 1024, name


# Each rule finds a mistake that is planted: (a header, what is there, what is put there instead).
MISTAKES = {
    'pointers_into_arrays': (
        'nnet_add_ext.h',
        'res.write(beat_out);',
        'int table[4]; const int *second = &table[1]; (void)second; res.write(beat_out);',
    ),
    'variable_lanes': ('nnet_add_ext.h', 'res.write(beat_out);', 'beat_out[i % 2] = 0; res.write(beat_out);'),
    'pipelines': ('nnet_add_ext.h', 'II=1 style=flp', 'II=1'),
    'storage': ('parameters.h', 'type=rom_1p', 'type=rom_2p'),
    'dataflow': ('parameters.h', '#pragma HLS DATAFLOW', '#pragma HLS DATAFLOW\n    int count = 0; (void)count;'),
    'unused': ('parameters.h', 'struct config2 {', 'struct config2 {\n    static const int spare = 3;'),
}


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    directory = tmp_path_factory.mktemp('plain') / 'p'
    quietly(convert(everything('relu'), directory, reuse=2).write)
    return directory


@pytest.mark.parametrize('rule', hls_ast.RULES, ids=lambda rule: rule.__name__)
def test_rule_finds_a_mistake(rule, plain):
    name, there, instead = MISTAKES[rule.__name__]
    path = next((plain / 'firmware').rglob(name))
    text = path.read_text()
    if rule.__name__ == 'unused':
        there = re.search(r'struct config\d+ \{', text)[0]
        instead = there + '\n    static const int spare = 3;'
    assert there in text
    path.write_text(text.replace(there, instead))
    try:
        assert rule(hls_ast.Project(plain))
    finally:
        path.write_text(text)
