"""What is wrong with a section of a project file, in plain words: pydantic's errors, rewritten."""

from __future__ import annotations

import difflib
import re
import reprlib
from typing import Any

from pydantic import ValidationError

from hls4ml_ext.models.knobs import Section

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 80
_REPR.maxlevel = 2

BOUNDS = {'gt': 'more than', 'ge': 'at least', 'lt': 'less than', 'le': 'at most'}


def check(section, raw, prefix: tuple, context, problems: list[str], known=()) -> Any:
    """`raw` as a `section`, or None with a line in `problems` for each mistake that is not in one of the keys `known`."""
    try:
        return section.model_validate(raw, context=context)
    except ValidationError as e:
        for error in e.errors():
            if error['loc'][:1] and error['loc'][0] in known:
                continue
            where = '.'.join(str(part) for part in (*prefix, *_real(error['loc'], raw)))
            problem = _problem(error, section)
            inner = re.match(r'([\w.]+): (.*)', problem) if error['type'] == 'value_error' else None
            if inner:  # a check of several keys names the one to change
                where, problem = '.'.join(filter(None, (where, inner[1]))), inner[2]
            if not any(p.startswith(where + ': ') for p in problems):  # a union tries each member
                problems.append(f'{where}: {problem}')
        return None


def _real(loc: tuple, raw) -> list:
    """The keys of the file within pydantic's location, which also names the members of unions."""
    keys = []
    for i, part in enumerate(loc):
        if isinstance(raw, dict) and (part in raw or i == len(loc) - 1):
            keys.append(part)
            raw = raw.get(part)
        elif isinstance(raw, list) and isinstance(part, int):
            keys.append(part)
            raw = raw[part] if part < len(raw) else None
    return keys


def shown(value) -> str:
    """A value in a message: not more of it than a line has room for."""
    text = _REPR.repr(value)
    return text if len(text) <= 120 else f'{text[:117]}...'


def known_keys(section) -> list[str]:
    return [key for key in section.model_fields if key != 'path']


def _section_at(section, loc: tuple):
    """The class of the section that a location's last key belongs to."""
    for part in loc[:-1]:
        field = getattr(section, 'model_fields', {}).get(part)
        if field is None:
            continue
        members = [field.annotation, *getattr(field.annotation, '__args__', ())]
        section = next((m for m in members if isinstance(m, type) and issubclass(m, Section)), section)
    return section


def _problem(error: dict, section) -> str:
    """What is wrong, in plain words."""
    kind, value, context = error['type'], error.get('input'), error.get('ctx') or {}
    if kind == 'extra_forbidden':
        known = known_keys(_section_at(section, error['loc']))
        close = difflib.get_close_matches(str(error['loc'][-1]), known, 1)
        return 'unknown key. ' + (f"Did you mean '{close[0]}'?" if close else f'Known keys: {", ".join(known)}')
    if kind == 'missing':
        return 'is missing'
    if kind == 'literal_error':
        return f'{shown(value)} is not one of {_choices(context["expected"])}'
    if kind in ('greater_than', 'greater_than_equal', 'less_than', 'less_than_equal'):
        sign, limit = next(iter(context.items()))
        return f'{shown(value)} must be {BOUNDS[sign]} {limit:g}'
    if kind in ('model_type', 'model_attributes_type', 'dict_type'):
        return f'{shown(value)} is not a group of keys'
    if kind.startswith('int_'):
        return f'{shown(value)} is not an integer'
    if kind.startswith('float_'):
        return f'{shown(value)} is not a number'
    if kind.startswith('bool_'):
        return f'{shown(value)} is not true or false'
    if kind == 'string_pattern_mismatch':
        return f'{shown(value)} may have letters, digits, dots, dashes and underscores only'
    if kind == 'value_error':
        return str(context['error'])
    return f'{shown(value)}: {error["msg"]}'


def _choices(expected: str) -> str:
    """pydantic's "'a', 'b' or 'c'" as "a, b, c"."""
    return expected.replace("'", '').replace(' or ', ', ')
