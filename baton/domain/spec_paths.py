"""Validates `--set` paths against the schema of the spec, so that an error quotes the path as it was typed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from baton.domain.errors import FieldError, SpecError
from baton.domain.spec import AnySpec

Node = dict[str, Any]
DEPTH = 5  # of the search: a part of a spec may contain itself
SHORT_NAMES = {"width": "network.width"}
LABELS = "labels."
MAX_KEYS, MAX_LENGTH = 40, 1000
LISTED = 12
"""The most fields that an error lists."""


def full_path(path: str) -> str:
    """Expands a short name such as `width`. Any other path is returned unchanged."""
    return SHORT_NAMES.get(path, path)


def keys_of(path: str) -> list[str]:
    """The keys of a path. The name of a label may contain dots.

    >>> keys_of("stages.0.epochs"), keys_of("labels.team.lead")
    (['stages', '0', 'epochs'], ['labels', 'team.lead'])

    Raises:
        SpecError: the path is longer or deeper than any spec.
    """
    if path.startswith(LABELS):
        return path.split(".", 1)
    keys = path.split(".")
    if len(path) > MAX_LENGTH or len(keys) > MAX_KEYS:
        text = f"a path has at most {MAX_KEYS} keys and {MAX_LENGTH:,} characters"
        raise SpecError([FieldError(f"{path[:80]}…", text)])
    return keys


def check_path(path: str) -> None:
    """Raises SpecError if no spec can have a field with this path. Paths into free-form values are not checked."""
    nodes, keys = [_schema()], keys_of(path)
    for place, key in enumerate(keys):
        nodes = [one for node in nodes for one in _alternatives(node)]
        closed = any(_is_closed(node) for node in nodes)
        nodes = [found for node in nodes for found in _members(node, key, strict=closed)]
        if not nodes and closed:
            raise SpecError([FieldError(path, _unknown(".".join(keys[: place + 1]), path))])


def _unknown(part: str, path: str) -> str:
    return ("is not a known field" if part == path else f"there is no field {part}") + _hint(part, path)


def _hint(part: str, path: str) -> str:
    """The fields that may be meant: one of the same name elsewhere, or those beside the unknown field."""
    known = list(known_paths())
    close = [one for one in known if one.rpartition(".")[2] == path.rpartition(".")[2]]
    above, _, last = re.sub(r"\.[0-9]+(?=\.|$)", ".*", part).rpartition(".")
    beside = [one.rpartition(".")[2] for one in known if one.rpartition(".")[0] == above]
    if above and beside:
        close = close or [f"{above}.{name}" for name in get_close_matches(last, beside, n=2, cutoff=0.55)]
    else:
        close = close or get_close_matches(path, known, n=2, cutoff=0.7)
    if close:
        return f"; did you mean {' or '.join(close[:3])}?"
    shown = f"{', '.join(beside[:LISTED])}{', …' if len(beside) > LISTED else ''}"
    return f"; the fields of {above} are {shown}" if above and beside else ""


@cache
def known_paths() -> tuple[str, ...]:
    """All paths of a spec, with `*` for the members of lists."""
    return tuple(dict.fromkeys(_walk(_schema(), "")))


def _walk(node: Node, path: str) -> Iterator[str]:
    if path.count(".") >= DEPTH:
        return
    for one in _alternatives(node):
        for key, below in one.get("properties", {}).items():
            yield f"{path}{key}"
            yield from _walk(below, f"{path}{key}.")
        if "items" in one:
            yield from _walk(one["items"], f"{path}*.")


@cache
def _schema() -> Node:
    return TypeAdapter(AnySpec).json_schema()


def _alternatives(node: Node) -> Iterator[Node]:
    """The node behind a reference, or each member of a union."""
    if "$ref" in node:
        yield from _alternatives(_schema()["$defs"][node["$ref"].rpartition("/")[2]])
        return
    members = node.get("anyOf") or node.get("oneOf")
    if members is None:
        yield node
        return
    for member in members:
        yield from _alternatives(member)


def _is_closed(node: Node) -> bool:
    return node.get("additionalProperties") is False and "patternProperties" not in node


def _members(node: Node, key: str, *, strict: bool) -> list[Node]:
    """The nodes below a node at `key`. `strict`: a list accepts only `*` or a number; otherwise it accepts any key."""
    if "items" in node:
        return [node["items"]] if key == "*" or key.isdecimal() or not strict else []
    properties: Node = node.get("properties", {})
    return list(properties.values()) if key == "*" else [properties[key]] if key in properties else []
