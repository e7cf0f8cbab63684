"""Reads YAML from users: only values that JSON has too, with limits on depth and size, and without tags.

Two values are read as in YAML 1.2, and not as PyYAML reads them: `3e-4` is a number, and a date such as `2026-01-31`
is text, because JSON has no dates.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

MAX_DEPTH, MAX_SCALAR, MAX_NODES = 32, 4096, 100_000
# Both in C where that is available. Each is a class of its own: a resolver changes its class.
_LOADER: Any = type("_Loader", (getattr(yaml, "CSafeLoader", yaml.SafeLoader),), {})
_DUMPER: Any = type("_Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {})
# The exponent needs a sign: the text of a commit, such as 12e45678, stays text.
_NUMBER = re.compile(r"[-+]?[0-9]+[eE][-+][0-9]+$")
for _class in (_LOADER, _DUMPER):
    _class.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+0123456789"))
_LOADER.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in _LOADER.yaml_implicit_resolvers.items()
}


class BadYaml(ValueError):
    """The text is not YAML, or uses a feature that is refused here. The message is one line."""


def read_yaml(text: str | bytes, *, aliases: bool = False) -> Any:
    """The value of one document. `aliases`: allow aliases (`*name`), up to 100,000 values after expansion.

    Raises:
        BadYaml: invalid YAML, tags, nesting over 32 levels, or plain scalars over 4,096 characters.

    >>> read_yaml("{epochs: 2, sizes: [16, 32], lr: 3e-4, since: 2026-01-31}")
    {'epochs': 2, 'sizes': [16, 32], 'lr': 0.0003, 'since': '2026-01-31'}
    """
    try:
        _check_events(text, aliases)
        if aliases:
            _weigh(yaml.compose(text, Loader=_LOADER), 0, {})
        return yaml.load(text, Loader=_LOADER)  # noqa: S506 - the loader is the safe one, in C where there is one
    except BadYaml:
        raise
    # PyYAML's constructors raise OverflowError for 1:0:0... (a number in base 60) and UnicodeError for invalid bytes.
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        raise BadYaml(" ".join(str(error).split())) from None


def write_yaml(value: Any) -> str:
    """The value as one document, which `read_yaml` reads back to an equal value.

    >>> print(write_yaml({"command": ["train", "3e-4"], "lr": 3e-4}), end="")
    command:
    - train
    - '3e-4'
    lr: 0.0003
    """
    text: str = yaml.dump(value, Dumper=_DUMPER, sort_keys=False, width=100, allow_unicode=True)
    return text


def _check_events(text: str | bytes, aliases: bool) -> None:
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        _check_event(event, aliases)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise BadYaml(f"it is nested deeper than {MAX_DEPTH} levels")


def _check_event(event: object, aliases: bool) -> None:
    if isinstance(event, yaml.AliasEvent) and not aliases:
        raise BadYaml("aliases (*name) are not allowed here")
    tag = getattr(event, "tag", None)
    if tag:
        raise BadYaml(f"tags are not allowed, and {tag[:100]!r} is one")
    if isinstance(event, yaml.ScalarEvent) and event.implicit[0] and len(event.value) > MAX_SCALAR:
        raise BadYaml(f"a value without quotes may have at most {MAX_SCALAR} characters")


def _weigh(node: Any, depth: int, known: dict[int, int]) -> int:
    """The number of values of a node with all aliases expanded. A node that contains itself is too deep."""
    if depth > MAX_DEPTH:
        raise BadYaml(f"it is nested deeper than {MAX_DEPTH} levels")
    if id(node) not in known:
        members = node.value if isinstance(node, yaml.CollectionNode) else ()
        inside = [one for member in members for one in (member if isinstance(member, tuple) else (member,))]
        known[id(node)] = 1 + sum(_weigh(one, depth + 1, known) for one in inside)
    if known[id(node)] > MAX_NODES:
        raise BadYaml(f"its aliases (*name) expand to more than {MAX_NODES:,} values")
    return known[id(node)]
