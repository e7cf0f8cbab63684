"""Trees of arrays: tuples, named tuples, lists and dictionaries whose leaves have a sample in each row."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

CHECKED_VALUES = 4096
"""Values of each array of a batch that its checksum reads: it has to cost little beside a step."""


def mapped(function: Callable[..., Any], *trees: Any) -> Any:
    """A tree of the same form: `function` of the leaves that are at the same place in all trees.

    >>> mapped(lambda a, b: a + b, {"x": (1, 2)}, {"x": (10, 20)})
    {'x': (11, 22)}
    """
    first = trees[0]
    if isinstance(first, Mapping):
        return {key: mapped(function, *(tree[key] for tree in trees)) for key in first}
    if isinstance(first, tuple | list):
        parts = [mapped(function, *same) for same in zip(*trees, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return function(*trees)


def leaves(tree: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves with their places.

    >>> list(leaves({"x": (1, 2)}, "batch"))
    [('batch.x.0', 1), ('batch.x.1', 2)]
    """
    if isinstance(tree, Mapping):
        for key, part in tree.items():
            yield from leaves(part, f"{place}.{key}")
    elif isinstance(tree, tuple | list):
        for number, part in enumerate(tree):
            yield from leaves(part, f"{place}.{number}")
    else:
        yield place, tree


def is_array(leaf: Any) -> bool:
    """Whether it has rows that can be taken by their indices: arrays of NumPy, JAX, TensorFlow and torch."""
    return bool(getattr(leaf, "shape", ())) and (hasattr(leaf, "__array__") or isinstance(leaf, np.ndarray))


def stacked(samples: list[Any]) -> Any:
    """A batch of the samples: arrays and numbers are stacked, torch tensors stay such, text is put into a list.

    >>> stacked([{"x": np.arange(2), "name": "a"}, {"x": np.arange(2), "name": "b"}])
    {'x': array([[0, 1],
           [0, 1]]), 'name': ['a', 'b']}
    """
    return mapped(_stack, *samples)


def _stack(*values: Any) -> Any:
    first = values[0]
    if isinstance(first, str | bytes) or first is None:
        return list(values)
    if type(first).__module__ == "torch":
        import torch

        return torch.stack(values)
    return np.stack([np.asarray(value) for value in values])


def checksum(batch: Any) -> int:
    """A number that shows whether a batch is the same as another one: of values all over each array, and of its form.

    >>> checksum((np.arange(3),)) == checksum((np.arange(3),)), checksum(np.arange(3)) == checksum(np.arange(1, 4))
    (True, False)
    """
    found = 0
    for place, leaf in leaves(batch):
        found = zlib.crc32(place.encode(), found)
        found = zlib.crc32(_some_bytes(leaf), found)
    return found


def _some_bytes(leaf: Any) -> bytes:
    if not is_array(leaf):
        return repr(leaf).encode() if isinstance(leaf, str | bytes | int | float | bool | None) else b""
    form = f"{tuple(leaf.shape)} {leaf.dtype}".encode()
    if getattr(getattr(leaf, "device", None), "type", "cpu") != "cpu":  # a torch tensor on a GPU: reading it would wait
        return form
    values = np.asarray(leaf.detach() if hasattr(leaf, "detach") else leaf).reshape(-1)
    if values.dtype.hasobject:
        return form
    return form + values[:: max(1, values.size // CHECKED_VALUES)].tobytes()
