"""`--set path=value`: changes single fields of a spec before it is checked."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from baton.domain.errors import FieldError, SpecError
from baton.domain.spec_paths import check_path, full_path, keys_of

_REMOVED = object()
MAX_VALUES = 100_000
"""The most values that all overrides together may add. `*` copies a value to each member of a list or a mapping."""


def apply_overrides(spec: Mapping[str, Any], overrides: Mapping[str, object]) -> dict[str, Any]:
    """A copy of `spec` with each dotted path set to its value.

    `*` in a path means every member of a list. None removes a field; a member of a list is removed after all values
    are set. `width` is short for `network.width`. Missing mappings along a path are created.

    Raises:
        SpecError: a spec cannot have this path, the path leads into a value without members or past a list's end, or
            more than MAX_VALUES values would be added.

    >>> apply_overrides({"seed": 1, "stages": [{"epochs": 5}, {"epochs": 7}]}, {"stages.*.epochs": 2, "width": 0.5})
    {'seed': 1, 'stages': [{'epochs': 2}, {'epochs': 2}], 'network': {'width': 0.5}}
    """
    result, left = copy.deepcopy(dict(spec)), MAX_VALUES
    for given, value in overrides.items():
        path = full_path(given)
        check_path(path)
        copies = _Copies(path, value, left)
        _assign(result, keys_of(path), copies)
        left = copies.left
    pruned: dict[str, Any] = _pruned(result)
    return pruned


class _Copies:
    """Copies of the value of one override, up to a number of values. `left`: how many values may still be added."""

    def __init__(self, path: str, value: object, left: int) -> None:
        self.path, self.left = path, left
        self._value, self._size = value, _size(value)

    def one_more(self) -> object:
        """Another copy. Raises SpecError if there are too many values."""
        self.left -= self._size
        if self.left < 0:
            raise SpecError([FieldError(self.path, f"would add more than {MAX_VALUES:,} values to the spec")])
        return _REMOVED if self._value is None else copy.deepcopy(self._value)


def _size(value: object) -> int:
    """The number of values in a value, with itself."""
    if isinstance(value, Mapping):
        return 1 + sum(map(_size, value.values()))
    return 1 + sum(map(_size, value)) if isinstance(value, list | tuple) else 1


def _assign(node: Any, keys: list[str], copies: _Copies) -> None:
    for key in _keys(node, keys[0], copies.path):
        if len(keys) == 1:
            node[key] = copies.one_more()
            continue
        if isinstance(node, dict) and node.get(key) in (None, _REMOVED):
            node[key] = {}
        _assign(node[key], keys[1:], copies)


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
