"""`--set path=value`: changes single fields of a spec before it is checked."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from core.domain.errors import FieldError, SpecError


def apply_overrides(spec: Mapping[str, Any], overrides: Mapping[str, object]) -> dict[str, Any]:
    """A copy of `spec` with each dotted path set to its value; `*` stands for every member of a list.

    Keys that are missing on the way are made; whether they may be there is for `parse_spec` to say.

    Raises:
        SpecError: a path leads into a value that has no members, or past the end of a list.
    """
    result = copy.deepcopy(dict(spec))
    for path, value in overrides.items():
        _assign(result, path.split("."), value, path)
    return result


def _assign(node: Any, keys: list[str], value: object, path: str) -> None:
    for key in _keys(node, keys[0], path):
        if len(keys) == 1:
            node[key] = copy.deepcopy(value)
            continue
        if isinstance(node, dict) and node.get(key) is None:
            node[key] = {}
        _assign(node[key], keys[1:], value, path)


def _keys(node: Any, key: str, path: str) -> list[Any]:
    if isinstance(node, dict) and key:
        return list(node) if key == "*" else [key]
    if isinstance(node, list):
        return _indices(node, key, path)
    raise SpecError([FieldError(path, f"cannot set it: there is nothing below at '{key}'")])


def _indices(node: list[Any], key: str, path: str) -> list[Any]:
    if key == "*":
        return list(range(len(node)))
    if key.isdecimal() and int(key) < len(node):
        return [int(key)]
    raise SpecError([FieldError(path, f"cannot set it: '{key}' is no index of a list of {len(node)}")])
