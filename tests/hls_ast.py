"""Generated C++ as an HLS tool would see it: libclang parses a written project, and these functions find what breaks a rule.

Each takes a :class:`Project` and returns the places that break the rule, as 'file:line: what'.
"""

from __future__ import annotations

import re
import subprocess
from functools import cached_property
from pathlib import Path

import clang.cindex as clang
import cpp

Kind = clang.CursorKind

LOOP_KINDS = {Kind.FOR_STMT}
FUNCTIONS = {Kind.FUNCTION_DECL, Kind.FUNCTION_TEMPLATE, Kind.CXX_METHOD}
OURS = re.compile(r'nnet_\w+_ext\.h$|nnet_ext\.h$|parameters\.h$|myproject\.cpp$')


class Project:
    """A written project, parsed.

    Args:
        directory: The project.
    """

    def __init__(self, directory: Path):
        self.directory = Path(directory)
        self.source = self.directory / 'firmware' / 'myproject.cpp'
        # libclang brings no headers of its own: those of the compiler have stddef.h.
        include = subprocess.run(['g++', '-print-file-name=include'], stdout=subprocess.PIPE, text=True).stdout.strip()
        arguments = ['-std=c++14', f'-I{self.source.parent}', f'-I{cpp.ap_types()}', f'-I{include}']
        # The open ap_types refuse __SYNTHESIS__: they come first.
        lines = [f'#include "{header}"' for header in ('ap_fixed.h', 'ap_int.h', 'hls_stream.h')]
        lines += ['#define __SYNTHESIS__', f'#include "{self.source}"']
        unit = str(self.directory / 'synthesis.cpp')
        self.unit = clang.Index.create().parse(unit, arguments, [(unit, '\n'.join(lines) + '\n')])
        errors = [d for d in self.unit.diagnostics if d.severity >= clang.Diagnostic.Error]
        assert not errors, errors[0]

    @cached_property
    def functions(self) -> list:
        """The definitions of functions in our headers and in the generated files."""
        return [c for c in self._walk(self.unit.cursor) if c.kind in FUNCTIONS and c.is_definition()]

    @cached_property
    def files(self) -> list[Path]:
        """Our headers that the project uses, and the generated files."""
        used = {Path(i.include.name).resolve() for i in self.unit.get_includes()}
        return sorted(path for path in used if OURS.search(path.name))

    def _walk(self, cursor):
        for child in cursor.get_children():
            file = child.location.file
            if file is not None and not OURS.search(Path(file.name).name):
                continue
            yield child
            if child.kind not in FUNCTIONS:
                yield from self._walk(child)


def place(cursor) -> str:
    return f'{Path(cursor.location.file.name).name}:{cursor.location.line}'


def text(cursor) -> str:
    return ' '.join(t.spelling for t in cursor.get_tokens())


# ---------------------------------------------------------------------------------------------------------------------
# Rules
# ---------------------------------------------------------------------------------------------------------------------


def pointers_into_arrays(project: Project) -> list[str]:
    """``&array[i]``: HLS 214-356, "array transformation on pointer indexing may lead to incorrect bank selection"."""
    found = []
    for function in project.functions:
        for cursor in function.walk_preorder():
            if cursor.kind == Kind.UNARY_OPERATOR and text(cursor).startswith('&'):
                if any(c.kind == Kind.ARRAY_SUBSCRIPT_EXPR for c in cursor.get_children()):
                    found.append(f'{place(cursor)}: {text(cursor)}')
    return found


def variable_lanes(project: Project) -> list[str]:
    """Lanes of a beat, of a word or of registers that are not at a constant position once loops are unrolled: multiplexers.

    The last index of anything is a lane, unless it is a one-dimensional parameter or table: the words of a ROM, the elements
    of an array that io_parallel turns into a stream.
    """
    found = []
    for function in project.functions:
        if function.spelling == 'operator[]':
            continue
        unrolled = _unrolled_variables(function)
        parameters = {p.get_usr() for p in function.get_children() if p.kind == Kind.PARM_DECL}
        inner = set()
        for cursor in function.walk_preorder():
            if not _is_subscript(cursor) or cursor.hash in inner:
                continue
            base, index = _base_and_index(cursor)
            while _is_subscript(base):  # x[i][j]: the word i, the lane j
                inner.add(base.hash)
                base = _base_and_index(base)[0]
            owner = _declaration(base)
            one_dimension = not any(_is_subscript(c) for c in cursor.walk_preorder() if c != cursor and c.hash in inner)
            if owner is not None and owner.get_usr() in parameters and one_dimension:
                if not _is_register_parameter(owner):
                    continue
            if owner is not None and owner.storage_class == clang.StorageClass.STATIC:
                continue  # a table: the words of a ROM
            variables = [c.referenced for c in index.walk_preorder() if c.kind == Kind.DECL_REF_EXPR and c.referenced]
            variables = [v for v in variables if v.kind in (Kind.VAR_DECL, Kind.PARM_DECL)]
            moving = [v.spelling for v in variables if v.get_usr() not in unrolled and not _is_constant(v, unrolled)]
            if moving:
                found.append(f'{place(cursor)}: {text(cursor)} (index: {", ".join(moving)})')
    return found


def pipelines(project: Project) -> list[str]:
    """Pipelines that don't start every cycle, or keep their results while they wait for inputs."""
    return _pragmas(project, r'PIPELINE', lambda line: 'II=1' in line and 'style=flp' in line)


def storage(project: Project) -> list[str]:
    """Memories with more ports than they need, or none that the tool could know."""
    good = r'type=(ram_s2p|rom_1p|rom_np) impl=(lutram|bram|uram)\b'
    return _pragmas(project, r'BIND_STORAGE', lambda line: re.search(good, line))


def dataflow(project: Project) -> list[str]:
    """Functions with DATAFLOW that hold more than streams and calls: not canonical."""
    found = []
    for function in project.functions:
        body = next((c for c in function.get_children() if c.kind == Kind.COMPOUND_STMT), None)
        if body is None or '# pragma HLS DATAFLOW' not in text(body):
            continue
        if _top_level_pragma(body) != 'DATAFLOW':
            continue
        for statement in body.get_children():
            declares = statement.kind == Kind.DECL_STMT and 'stream' in text(statement)
            if not declares and statement.kind not in (Kind.CALL_EXPR,) and not _is_for_simulation(statement):
                found.append(f'{place(statement)}: {text(statement)[:80]}')
    return found


def unused(project: Project) -> list[str]:
    """Members of config structs, and local arrays, that nothing uses."""
    found = []
    everything = '\n'.join(path.read_text() for path in project.files)
    for config in project.unit.cursor.walk_preorder():
        if config.kind == Kind.STRUCT_DECL and re.fullmatch(r'config\d+', config.spelling) and config.is_definition():
            for member in config.get_children():
                name = member.spelling
                if name and not re.search(rf'(CONFIG_T|{config.spelling})::{name}\b', everything):
                    own = sum(1 for _ in re.finditer(rf'\b{name}\b', text(config)))
                    if own < 2:
                        found.append(f'{place(member)}: {config.spelling}::{name}')
    for function in project.functions:
        used = {c.referenced.get_usr() for c in function.walk_preorder() if c.kind == Kind.DECL_REF_EXPR and c.referenced}
        for cursor in function.walk_preorder():
            if cursor.kind == Kind.VAR_DECL and '[' in cursor.type.spelling and cursor.get_usr() not in used:
                found.append(f'{place(cursor)}: array {cursor.spelling}')
    return found


def widest_beat(project: Project) -> tuple[int, str]:
    """Bits and name of the widest beat among the streams' types."""
    widest = (0, '')
    for cursor in project.unit.cursor.walk_preorder():
        if cursor.kind == Kind.TYPEDEF_DECL:
            match = re.match(r'nnet::array<ap_u?fixed<(\d+).*>, (\d+)(?: \* 1)?>$', cursor.underlying_typedef_type.spelling)
            if match:
                widest = max(widest, (int(match[1]) * int(match[2]), cursor.spelling))
    return widest


RULES = (pointers_into_arrays, variable_lanes, pipelines, storage, dataflow, unused)

# ---------------------------------------------------------------------------------------------------------------------
# Helpers
# ---------------------------------------------------------------------------------------------------------------------


def _pragmas(project, name, good) -> list[str]:
    found = []
    for path in project.files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(rf'#pragma HLS {name}\b', line) and not good(line):
                found.append(f'{path.name}:{number}: {line.strip()}')
    return found


def _is_subscript(cursor) -> bool:
    if cursor.kind == Kind.ARRAY_SUBSCRIPT_EXPR:
        return True
    return cursor.kind == Kind.CALL_EXPR and cursor.spelling == 'operator[]'


def _base_and_index(cursor):
    children = list(cursor.get_children())
    base, index = children[0], children[-1]
    while base.kind == Kind.UNEXPOSED_EXPR and len(list(base.get_children())) == 1:
        base = next(iter(base.get_children()))
    return base, index


def _declaration(cursor):
    return next((c.referenced for c in cursor.walk_preorder() if c.kind == Kind.DECL_REF_EXPR and c.referenced), None)


def _is_register_parameter(parameter) -> bool:
    """Arrays in registers, which an inlined function gets from a kernel; they are passed by their lanes' number."""
    return bool(re.search(r'\[(N|CONFIG_T::(simd|pe)|[a-z_:A-Z]*lanes)\]', text(parameter)))


def _is_constant(variable, unrolled=frozenset()) -> bool:
    """Is it a const that is initialised by constants, or by counters of unrolled loops, alone?"""
    if variable.kind != Kind.VAR_DECL or not variable.type.is_const_qualified():
        return False
    inner = [c.referenced for c in variable.walk_preorder() if c.kind == Kind.DECL_REF_EXPR and c.referenced]
    inner = [v for v in inner if v.kind in (Kind.VAR_DECL, Kind.PARM_DECL) and v != variable]
    return all(v.get_usr() in unrolled or _is_constant(v, unrolled) for v in inner)


def _unrolled_variables(function) -> set[str]:
    """The counters of the loops that are unrolled."""
    found = set()
    for loop in function.walk_preorder():
        if loop.kind in LOOP_KINDS:
            tokens = [t.spelling for t in loop.get_tokens()]
            body = tokens[tokens.index('{') + 1 :] if '{' in tokens else []
            if body[:4] == ['#', 'pragma', 'HLS', 'UNROLL']:
                declaration = next((c for c in loop.walk_preorder() if c.kind == Kind.VAR_DECL), None)
                if declaration is not None:
                    found.add(declaration.get_usr())
    return found


def _top_level_pragma(body) -> str:
    """The first pragma of a function that is no INTERFACE."""
    tokens = [t.spelling for t in body.get_tokens()]
    for i in range(len(tokens) - 3):
        if tokens[i : i + 3] == ['#', 'pragma', 'HLS'] and tokens[i + 3] not in ('INTERFACE', 'INLINE'):
            return tokens[i + 3]
    return ''


def _is_for_simulation(statement) -> bool:
    """hls4ml's top function loads weights behind ``#ifndef __SYNTHESIS__``, and saves traces."""
    return 'loaded_weights' in text(statement) or 'save_layer_output' in text(statement)
