"""The C++ headers: format, clang's warnings, and rules that an HLS tool would enforce late."""

import re
from pathlib import Path

import cpp
import format_cpp
import pytest
from everything import everything
from exactness import convert, quietly

HEADERS = format_cpp.headers()
RECORD, BRIDGE = 'nnet_record_ext.h', 'nnet_bridge_ext.h'
SYNTHESIZED = [h for h in HEADERS if h.name not in (RECORD, BRIDGE)]
KERNELS = [h for h in SYNTHESIZED if h.name != 'nnet_ext.h']


SIMULATED = {'#ifndef __SYNTHESIS__', '#ifdef __SYNTHESIS__ #else'}
"""Conditions of code that an HLS tool does not see."""


def synthesized(code: str) -> str:
    """The code that an HLS tool sees."""
    lines, conditions = [], []
    for line in code.splitlines():
        if line.startswith('#if'):
            conditions.append(line)
        elif line == '#else':
            conditions[-1] += ' #else'
        elif line == '#endif':
            conditions.pop()
        elif not SIMULATED & set(conditions):
            lines.append(line)
    return '\n'.join(lines)


def code_of(path: Path) -> str:
    """A header without its comments, line by line."""
    return '\n'.join(line.split('//')[0].rstrip() for line in path.read_text().splitlines())


ids = {'ids': lambda path: path.name}


@pytest.mark.parametrize('path', HEADERS, **ids)
def test_format(path):
    assert not format_cpp.difference(path), f'run: python tests/format_cpp.py\n{format_cpp.difference(path)}'


# ---------------------------------------------------------------------------------------------------------------------
# clang
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope='module', params=['io_stream', 'io_parallel'])
def projects(request, tmp_path_factory):
    """Written projects which, together, include every header and instantiate every kernel."""
    written = []
    for attention in ('relu', 'softmax'):
        directory = tmp_path_factory.mktemp(f'lint_{attention}')
        hls_model = convert(everything(attention), directory / 'p', request.param, reuse=2)
        quietly(hls_model.write)
        written.append(directory / 'p')
    return written


@pytest.mark.skipif(cpp.clang_tidy() is None, reason='clang-tidy is not installed')
@pytest.mark.parametrize('integers', ['native', 'hardware'])
def test_clang_has_no_warnings(integers, projects):
    for project in projects:
        flags = [cpp.HARDWARE_INTEGERS] if integers == 'hardware' else []
        assert cpp.clang_warnings(project, 'myproject', *flags) == []


@pytest.mark.skipif(cpp.clang_tidy() is None, reason='clang-tidy is not installed')
def test_clang_finds_a_mistake(projects):
    """The check above does look into our headers."""
    header = projects[0] / 'firmware/nnet_utils/nnet_add_ext.h'
    text = header.read_text()
    header.write_text(text.replace('res_T beat_out;', 'res_T beat_out;\n        int forgotten = 3;'))
    try:
        assert any("unused variable 'forgotten'" in warning for warning in cpp.clang_warnings(projects[0], 'myproject'))
    finally:
        header.write_text(text)


def test_projects_have_every_kernel(projects):
    """Else the checks above would miss one."""
    sources = ''.join(
        p.read_text() for project in projects for p in (project / 'firmware').glob('*.*') if p.suffix in ('.cpp', '.h')
    )
    included = {BRIDGE, *re.findall(r'#include "nnet_utils/(nnet_\w+\.h)"', sources)}
    headers = {h.name: set(re.findall(r'#include "(nnet_\w+\.h)"', h.read_text())) for h in HEADERS}
    while True:
        more = set().union(included, *(headers.get(name, set()) for name in included))
        if more == included:
            break
        included = more
    assert {h.name for h in HEADERS} <= included


# ---------------------------------------------------------------------------------------------------------------------
# Rules for synthesis
# ---------------------------------------------------------------------------------------------------------------------

FORBIDDEN = {
    'dynamic memory': r'\bnew\b|\bdelete\b|\bmalloc\b|\bcalloc\b|\bfree\s*\(',
    'a container of the standard library': r'\bstd::(vector|map|string|array|list|deque|unique_ptr|shared_ptr|function)\b',
    'floating point': r'\b(float|double|long double)\b',
    'static state': r'^\s+static\s+(?!const\b|constexpr\b)\w[\w:<>, ]*\s+\w+\s*(=|;|\[)',
    'a while loop': r'\bwhile\s*\(',
    'goto': r'\bgoto\b',
    'assert': r'(?<!static_)\bassert\s*\(',
    'printing': r'\bprintf\b|\bstd::(cout|cerr)\b',
    'a non-blocking access of a stream': r'\.(read_nb|write_nb|empty|full)\s*\(',
}


def test_the_rule_against_static_state():
    for text, bad in (
        ('    static int count = 0;', True),
        ('    static x_T line[3];', True),
        ('    static const int n = 1;', False),
        ('    static bool inside(int row, int col) {', False),
        ('    static_assert(true, "");', False),
    ):
        assert bool(re.search(FORBIDDEN['static state'], text, re.MULTILINE)) == bad


def test_recording_is_for_simulation_only():
    (header,) = (h for h in HEADERS if h.name == RECORD)
    code = [line for line in code_of(header).splitlines() if line]
    assert code[2] == '#ifndef __SYNTHESIS__' and code[-2:] == ['#endif', '#endif']
    assert sum(line.startswith('#if') for line in code) == sum(line == '#endif' for line in code) == 2


@pytest.mark.parametrize('rule', list(FORBIDDEN))
@pytest.mark.parametrize('path', SYNTHESIZED, **ids)
def test_forbidden(path, rule):
    found = [
        f'{path.name}:{i}: {line.strip()}'
        for i, line in enumerate(code_of(path).splitlines(), 1)
        if re.search(FORBIDDEN[rule], line)
    ]
    assert not found, f'{rule}: {found}'


@pytest.mark.parametrize('path', SYNTHESIZED, **ids)
def test_every_loop_is_pipelined_unrolled_or_flattened_into_one_that_is(path):
    """A ``for`` starts with PIPELINE or UNROLL, with another loop, or with the call of a process of its own."""
    lines = [line.strip() for line in synthesized(code_of(path)).splitlines() if line.strip()]
    for i, line in enumerate(lines):
        if re.match(r'for \(', line):
            following = lines[i + 1 : i + 4]
            body = next(text for text in following if not re.fullmatch(r'\w+:', text))
            assert re.match(r'#pragma HLS (PIPELINE|UNROLL)|for \(|\w+(<CONFIG_T>)?\(', body), (
                f'{path.name}: {line} is followed by {body}'
            )


@pytest.mark.parametrize('path', KERNELS, **ids)
def test_pipelines_have_an_interval_of_one(path):
    for pragma in re.findall(r'#pragma HLS PIPELINE.*', path.read_text()):
        assert re.search(r'\bII=1\b', pragma), pragma


@pytest.mark.parametrize('path', KERNELS, **ids)
def test_pipelined_loops_have_labels(path):
    """So that an HLS tool's report can be read."""
    lines = [line.strip() for line in code_of(path).splitlines() if line.strip()]
    for i, line in enumerate(lines):
        if line.startswith('#pragma HLS PIPELINE'):
            assert re.match(r'for \(', lines[i - 1]), f'{path.name}: PIPELINE behind {lines[i - 1]}'
            assert re.fullmatch(r'\w+:', lines[i - 2]), f'{path.name}: no label before {lines[i - 1]}'


@pytest.mark.parametrize('path', KERNELS, **ids)
def test_headers_state_cycles_multipliers_and_storage(path):
    comment = '\n'.join(line for line in path.read_text().splitlines() if line.lstrip().startswith('//')).lower()
    for word in ('cycles', 'storage'):
        assert word in comment, f'{path.name} does not state its {word}'
    assert 'multiplier' in comment or 'adder' in comment


@pytest.mark.parametrize('path', HEADERS, **ids)
def test_names(path):
    text = path.read_text()
    assert re.search(r'#ifndef (\w+)\n#define \1\n', text), 'no include guard'
    assert 'namespace nnet {\nnamespace ext {' in text
    assert all('/' not in name for name in re.findall(r'#include "(.*)"', text))
    assert 'using namespace' not in text
