"""What is wrong with a group of settings, in plain words: pydantic's errors, rewritten."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from hls4ml_ext.errors import plain, shown
from hls4ml_ext.models.knobs import Section

BOUNDS = {'gt': 'more than', 'ge': 'at least', 'lt': 'less than', 'le': 'at most'}


@dataclass(frozen=True)
class Mistake:
    """A mistake in a group of settings.

    Attributes:
        keys: The keys that lead to it.
        value: What was given.
        problem: What is wrong: ``'unknown key. Did you mean 'seed'?'``, ``'0 must be at least 1'``.
        remedy: What to do about a wrong value, ``'It must be at least 1'``; '' if `problem` says it.
    """

    keys: tuple
    value: Any
    problem: str
    remedy: str = ''


def validated(section, raw, context=None, aliases: bool = False) -> tuple[Any, list[Mistake]]:
    """`raw` as a `section`, or None with the mistakes in it.

    Args:
        section: A pydantic model.
        raw: What was given, which may have NumPy's numbers in it.
        context: For the validators of the section.
        aliases: Whether the keys are the aliases of the fields, as in ``hls_config``, or their names, as in YAML.
    """
    raw = plain(raw)
    try:
        return section.model_validate(raw, context=context, by_alias=aliases, by_name=not aliases), []
    except ValidationError as e:
        mistakes: dict[tuple, Mistake] = {}
        for error in e.errors():
            mistake = _mistake(error, raw, section, aliases)
            mistakes.setdefault(mistake.keys, mistake)  # a union tries each member
        return None, list(mistakes.values())


def check(section, raw, prefix: tuple, context, problems: list[str], known=()) -> Any:
    """`raw` as a `section`, or None with a line in `problems` for each mistake that is not in one of the keys `known`."""
    result, mistakes = validated(section, raw, context)
    for mistake in mistakes:
        if mistake.keys[:1] and mistake.keys[0] in known:
            continue
        where = '.'.join(map(str, (*prefix, *mistake.keys)))
        if not any(p.startswith(where + ': ') for p in problems):
            problems.append(f'{where}: {mistake.problem}')
    return result


def known_keys(section, aliases: bool = False) -> list[str]:
    """The keys that a section has."""
    return [(aliases and field.alias) or name for name, field in section.model_fields.items() if name != 'path']


def _mistake(error: dict, raw, section, aliases: bool) -> Mistake:
    keys, value = _real(error['loc'], raw), error.get('input')
    if error['loc'][-1:] == ('[key]',):  # the name of an entry is wrong, not what it holds
        return Mistake(tuple(keys[:-2]), value, f'{shown(value)} is not a name', 'Names are strings')
    problem, remedy = _problem(error, section, aliases)
    inner = re.match(r'([\w.]+): (.*)', problem) if error['type'] == 'value_error' else None
    if inner:  # a check of several keys names the one to change
        keys, problem = [*keys, *inner[1].split('.')], inner[2]
    return Mistake(tuple(keys), value, problem, remedy)


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


def _section_at(section, loc: tuple):
    """The class of the section that a location's last key belongs to."""
    for part in loc[:-1]:
        fields = getattr(section, 'model_fields', {})
        field = fields.get(part) or next((f for f in fields.values() if f.alias == part), None)
        if field is None:
            continue
        members = [field.annotation, *getattr(field.annotation, '__args__', ())]
        section = next((m for m in members if isinstance(m, type) and issubclass(m, Section)), section)
    return section


def _problem(error: dict, section, aliases: bool) -> tuple[str, str]:
    """What is wrong and what to do, in plain words."""
    kind, value, context = error['type'], error.get('input'), error.get('ctx') or {}
    if kind == 'extra_forbidden':
        return _unknown(_section_at(section, error['loc']), str(error['loc'][-1]), aliases), ''
    if kind == 'missing':
        return 'is missing', ''
    if kind == 'value_error':
        return str(context['error']), ''
    what, remedy = _wanted(error, context, aliases)
    return f'{shown(value)}{what}', remedy


def _wanted(error: dict, context: dict, aliases: bool) -> tuple[str, str]:
    """What follows a value to say what is wrong with it, and what to do."""
    kind = error['type']
    if kind == 'literal_error':
        choices = context['expected'].replace(' or ', ', ').split(', ')
        listed = ', '.join(choice.strip("'") for choice in choices)
        return f' is not one of {listed}', f'Use {context["expected"]}' if len(choices) < 3 else f'Use one of {listed}'
    if kind in ('greater_than', 'greater_than_equal', 'less_than', 'less_than_equal'):
        sign, limit = next(iter(context.items()))
        return f' must be {BOUNDS[sign]} {limit:g}', f'It must be {BOUNDS[sign]} {limit:g}'
    if kind in ('model_type', 'model_attributes_type', 'dict_type'):
        return ' is not a group of keys', 'It must be a dict' if aliases else ''
    if kind == 'string_pattern_mismatch':
        dots = ' dots,' if '.' in context['pattern'] else ''
        allowed = f'may have letters, digits,{dots} dashes and underscores only'
        return f' {allowed}', f'It {allowed}'
    for prefix, noun in (('int_', 'an integer'), ('float_', 'a number'), ('string_', 'a string')):
        if kind.startswith(prefix):
            return f' is not {noun}', f'It must be {noun}'
    if kind.startswith('bool_'):
        return ' is not true or false', 'It must be True or False'
    return f': {error["msg"]}', error['msg']


def _unknown(section, key: str, aliases: bool) -> str:
    """What to say about a key that a section hasn't got."""
    known = known_keys(section, aliases)
    noun = getattr(section, 'noun', 'key')
    hint = getattr(section, 'hints', {}).get(key)
    close = difflib.get_close_matches(key, known, 1)
    if not hint:
        hint = f"Did you mean '{close[0]}'?" if close else f'Known {noun}s: {", ".join(known)}'
    return f'unknown {noun}. {hint}'
