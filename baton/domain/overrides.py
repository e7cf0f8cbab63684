"""`--set path=value`: changes single fields of a spec before it is checked."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from baton.domain.errors import FieldError, SpecError
from baton.domain.spec_paths import check_path, full_path

_REMOVED = object()


def apply_overrides(spec: Mapping[str, Any], overrides: Mapping[str, object]) -> dict[str, Any]:
    """A copy of `spec` with each dotted path set to its value.

    `*` in a path means every member of a list. None removes a field; a member of a list is removed after all values
    are set. `width` is short for `network.width`. Missing mappings along a path are created.

    Raises:
        SpecError: a spec cannot have this path, or the path leads into a value without members or past a list's end.

    >>> apply_overrides({"seed": 1, "stages": [{"epochs": 5}, {"epochs": 7}]}, {"stages.*.epochs": 2, "width": 0.5})
    {'seed': 1, 'stages': [{'epochs': 2}, {'epochs': 2}], 'network': {'width': 0.5}}
    """
    result = copy.deepcopy(dict(spec))
    for given, value in overrides.items():
        path = full_path(given)
        check_path(path)
        _assign(result, path.split("."), _REMOVED if value is None else value, path)
    pruned: dict[str, Any] = _pruned(result)
    return pruned


def _assign(node: Any, keys: list[str], value: object, path: str) -> None:
    for key in _keys(node, keys[0], path):
        if len(keys) == 1:
            node[key] = value if value is _REMOVED else copy.deepcopy(value)
            continue
        if isinstance(node, dict) and node.get(key) in (None, _REMOVED):
            node[key] = {}
        _assign(node[key], keys[1:], value, path)


def _pruned(node: Any) -> Any:
    """A copy without the removed values."""
    if isinstance(node, dict):
        return {key: _pruned(value) for key, value in node.items() if value is not _REMOVED}
    if isinstance(node, list):
        return [_pruned(value) for value in node if value is not _REMOVED]
    return node


def _keys(node: Any, key: str, path: str) -> list[Any]:
    if isinstance(node, dict) and key:
        return list(node) if key == "*" else [key]
    if isinstance(node, list):
        return _indices(node, key, path)
    raise SpecError([FieldError(path, f"cannot set it: '{key}' is below a value that has no fields")])


def _indices(node: list[Any], key: str, path: str) -> list[Any]:
    if key == "*":
        return list(range(len(node)))
    if key.isdecimal() and int(key) < len(node):
        return [int(key)]
    raise SpecError([FieldError(path, f"cannot set it: '{key}' is no index of a list of {len(node)}")])
