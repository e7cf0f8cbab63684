"""Trees of arrays: tuples, named tuples, lists and dictionaries whose leaves have a sample in each row."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from numbers import Number
from typing import Any

import numpy as np

from baton.program.errors import ProgramError

CHECKED_VALUES = 4096
"""Values of each array of a batch that its checksum reads, all over the array: it has to cost little beside a step."""


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
    """Whether it has rows that can be taken by their indices: an array of NumPy, JAX, TensorFlow, torch, h5py…"""
    shape = getattr(leaf, "shape", None)
    return shape is not None and len(shape) > 0 and hasattr(leaf, "__array__")


def stacked(samples: list[Any], place: str = "batch") -> Any:
    """A batch of the samples: arrays and numbers are stacked, torch tensors stay such, text is put into a list.

    Raises:
        ProgramError: the samples have different forms or shapes.

    >>> stacked([{"x": np.arange(2), "name": "a"}, {"x": np.arange(2), "name": "b"}])
    {'x': array([[0, 1],
           [0, 1]]), 'name': ['a', 'b']}
    """
    first = samples[0]
    if isinstance(first, Mapping):
        _same_form(place, samples, lambda one: isinstance(one, Mapping) and one.keys() == first.keys())
        return {key: stacked([one[key] for one in samples], f"{place}.{key}") for key in first}
    if isinstance(first, tuple) or (isinstance(first, list) and not _is_row(first)):
        _same_form(place, samples, lambda one: isinstance(one, type(first)) and len(one) == len(first))
        parts = [stacked([one[k] for one in samples], f"{place}.{k}") for k in range(len(first))]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    if isinstance(first, str | bytes) or first is None:
        return list(samples)
    try:
        if type(first).__module__ == "torch":
            import torch

            return torch.stack(samples)
        return np.stack([np.asarray(one) for one in samples])
    except (ValueError, TypeError, RuntimeError) as error:
        raise ProgramError(
            f"{place}: the samples of a batch cannot be stacked ({error}). Give them the same shape in `transform`, or "
            "pass `collate`, which makes a batch of a list of samples"
        ) from error


def _same_form(place: str, samples: list[Any], same: Callable[[Any], bool]) -> None:
    if not all(map(same, samples)):
        raise ProgramError(
            f"{place}: the samples of a batch have different keys or lengths. Make them equal in `transform`, or pass "
            "`collate`, which makes a batch of a list of samples"
        )


def _is_row(values: list[Any]) -> bool:
    """A list of numbers is a row of an array; a list of arrays is a tree, as Keras has it."""
    return all(isinstance(one, Number) or (isinstance(one, list) and _is_row(one)) for one in values)


def checksum(batch: Any) -> int:
    """A number that shows whether a batch is the same as another one: of values all over each array, and of its form.

    >>> checksum((np.arange(3),)) == checksum((np.arange(3),)), checksum(np.arange(3)) == checksum(np.arange(1, 4))
    (True, False)
    """
    found = 0
    for place, leaf in leaves(batch):
        found = zlib.crc32(_some_bytes(leaf), zlib.crc32(place.encode(), found))
    return found


def _some_bytes(leaf: Any) -> bytes:
    if isinstance(leaf, str | bytes | int | float | None):
        return repr(leaf).encode()
    if not is_array(leaf) and not isinstance(leaf, np.generic):
        return b""
    form = f"{tuple(leaf.shape)} {leaf.dtype}".encode()
    return form if _is_on_a_device(leaf) else form + _some_values(leaf)


def _some_values(leaf: Any) -> bytes:
    try:
        values = np.asarray(leaf.detach() if hasattr(leaf, "detach") else leaf)
    except TypeError:  # a type of torch that NumPy does not have, such as bfloat16
        return b""
    if values.dtype.hasobject or values.ndim == 0:
        return b"" if values.dtype.hasobject else values.tobytes()
    step = max(1, values.size // CHECKED_VALUES)
    while math.gcd(step, values.shape[-1]) > 1:  # else it would read the same columns of each row, such as a margin
        step += 1
    if values.flags.c_contiguous:
        return values.reshape(-1)[::step].tobytes()
    # reshape would copy all of it
    return values[np.unravel_index(np.arange(0, values.size, step), values.shape)].tobytes()


def _is_on_a_device(leaf: Any) -> bool:
    """Whether it is in the memory of a GPU, as far as torch, JAX and TensorFlow say. Reading it would wait."""
    device = getattr(leaf, "device", None)
    kind = getattr(device, "type", None) or getattr(device, "platform", None) or device
    return isinstance(kind, str) and not kind.lower().endswith(("cpu", "cpu:0")) and kind != ""
