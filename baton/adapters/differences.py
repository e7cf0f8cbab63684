"""The first difference between two trees of values and arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from baton.adapters.state_files import Bits


def first_difference(saved: Any, now: Any, place: str) -> str | None:
    """Where `now` differs from `saved`, in words; None if both are equal to the bit. Keys that only `now` has are fine.

    >>> first_difference({"a": [1, np.zeros(2)]}, {"a": [1, np.ones(2)]}, "state")
    'state.a.1 has other values'
    >>> first_difference({"a": float("nan")}, {"a": float("nan"), "b": 1}, "state")
    """
    if isinstance(saved, Bits):
        saved, now = (saved.dtype, saved.values), (now.dtype, now.values) if isinstance(now, Bits) else now
    if isinstance(saved, dict) and isinstance(now, dict):
        missing = next((key for key in saved if key not in now), None)
        if missing is not None:
            return f"{place}.{missing} is missing"
        return _first((saved[key], now[key], f"{place}.{key}") for key in saved)
    if isinstance(saved, list | tuple) and isinstance(now, list | tuple):
        if len(saved) != len(now):
            return f"{place} has {len(now)} items instead of {len(saved)}"
        return _first((a, b, f"{place}.{k}") for k, (a, b) in enumerate(zip(saved, now, strict=True)))
    return _of_values(saved, now, place)


def _of_values(saved: Any, now: Any, place: str) -> str | None:
    if isinstance(saved, np.ndarray) and isinstance(now, np.ndarray):
        return _of_arrays(saved, now, place)
    if type(saved) is not type(now):
        return f"{place} is of the type {type(now).__name__} instead of {type(saved).__name__}"
    same = saved == now or repr(saved) == repr(now)  # NaN is not equal to itself
    return None if same else f"{place} is {now!r} instead of {saved!r}"


def _first(pairs: Any) -> str | None:
    return next((found for one in pairs if (found := first_difference(*one))), None)


def _of_arrays(saved: NDArray[Any], now: NDArray[Any], place: str) -> str | None:
    if saved.shape != now.shape:
        return f"{place} has the shape {now.shape} instead of {saved.shape}"
    if saved.dtype != now.dtype:
        return f"{place} has the type {now.dtype} instead of {saved.dtype}"
    same = saved.tobytes() == now.tobytes() if saved.ndim == 0 else np.array_equal(_bytes(saved), _bytes(now))
    return None if same else f"{place} has other values"


def _bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(array).view(np.uint8)
