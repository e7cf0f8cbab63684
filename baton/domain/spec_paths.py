"""Validates `--set` paths against the schema of the spec, so that an error quotes the path as it was typed."""

from __future__ import annotations

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


def full_path(path: str) -> str:
    """Expands a short name such as `width`. Any other path is returned unchanged."""
    return SHORT_NAMES.get(path, path)


def check_path(path: str) -> None:
    """Raises SpecError if no spec can have a field with this path. Paths into free-form values are not checked."""
    nodes, keys = [_schema()], path.split(".")
    for place, key in enumerate(keys):
        nodes = [one for node in nodes for one in _alternatives(node)]
        closed = any(_is_closed(node) for node in nodes)
        nodes = [found for node in nodes for found in _members(node, key, strict=closed)]
        if not nodes and closed:
            raise SpecError([FieldError(path, _unknown(".".join(keys[: place + 1]), path))])


def _unknown(part: str, path: str) -> str:
    known = list(known_paths())
    close = [one for one in known if one.rpartition(".")[2] == path.rpartition(".")[2]]
    close = close or get_close_matches(path, known, n=2, cutoff=0.7)
    hint = f"; did you mean {' or '.join(close[:3])}?" if close else ""
    return ("is not a known field" if part == path else f"there is no field {part}") + hint


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
