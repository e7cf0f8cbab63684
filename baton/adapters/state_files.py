"""Stores a tree of values in two files of a save: its arrays as NAME.npz, and all else as NAME.json.

Nothing is pickled: a file cannot run code when it is read. NumPy is the only package that this needs.
"""

from __future__ import annotations

import base64
import io
import json
import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from baton.program.errors import ProgramError

TAG = "$"
"""The first character of a key that stands for a type which JSON does not have. Keys of the tree that begin with it
are stored as items.
"""


@dataclass(frozen=True)
class Bits:
    """An array whose type NumPy does not have, such as bfloat16: its values as unsigned integers of the same size."""

    dtype: str
    values: NDArray[Any]

    def array(self) -> NDArray[Any]:
        """The array, with its type. It needs the package ml_dtypes."""
        import ml_dtypes

        return self.values.view(getattr(ml_dtypes, self.dtype))


def write_tree(folder: Path, name: str, tree: Any) -> None:
    """Write the tree as NAME.npz and NAME.json into the folder.

    A tree has dictionaries (keys: text, integers, tuples of both), lists, tuples, None, bool, int, float, str, bytes,
    NumPy arrays and scalars, and `Bits`.

    Raises:
        ProgramError: it has another type of value, or an array of Python objects. The message names the place.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_tree(Path(folder), "state", {"step": 3, "weights": [np.arange(2.0)], 7: (1, float("inf"))})
    ...     read_tree(Path(folder), "state")
    {'step': 3, 'weights': [array([0., 1.])], 7: (1, inf)}
    """
    arrays: dict[str, NDArray[Any]] = {}
    rest = _encoded(tree, name, arrays)
    np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)
    (folder / f"{name}.json").write_text(json.dumps(rest, allow_nan=False))


def read_tree(folder: Path, name: str) -> Any:
    """The tree that `write_tree` wrote. Arrays are NumPy arrays or `Bits`.

    Raises:
        ProgramError: the files are missing or not of this form.
    """
    try:
        rest = json.loads((folder / f"{name}.json").read_text())
        with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
            return _decoded(rest, arrays)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise ProgramError(f"the save has no readable {name}.json and {name}.npz: {error}") from error


def can_be_stored(tree: Any) -> bool:
    """Whether `write_tree` takes the tree.

    >>> can_be_stored({"wait": 3, "best": [1.5]}), can_be_stored({"optimizer": object()})
    (True, False)
    """
    try:
        _encoded(tree, "", {})
    except (ProgramError, RecursionError):
        return False
    return True


def as_json(tree: Any, name: str) -> Any:
    """The same tree as one JSON value, for a cursor: its arrays are text in it. For small trees only.

    Raises:
        ProgramError: as `write_tree`.

    >>> from_json(as_json({"key": np.arange(2), 7: (1, b"x")}, "state"))
    {'key': array([0, 1]), 7: (1, b'x')}
    """
    arrays: dict[str, NDArray[Any]] = {}
    rest = _encoded(tree, name, arrays)
    return {"tree": rest, "arrays": {key: _as_text(array) for key, array in arrays.items()}}


def from_json(value: Any) -> Any:
    """The tree that `as_json` made a JSON value of.

    Raises:
        ProgramError: the value is not of this form.
    """
    try:
        arrays = {key: np.load(io.BytesIO(base64.b64decode(text))) for key, text in value["arrays"].items()}
        return _decoded(value["tree"], arrays)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProgramError(f"the cursor has a state that cannot be read: {error}") from error


def _as_text(array: NDArray[Any]) -> str:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return base64.b64encode(file.getvalue()).decode()


def _encoded(value: Any, place: str, arrays: dict[str, NDArray[Any]]) -> Any:
    if value is None or isinstance(value, (bool, str)) or type(value) is int:
        return value
    encode = next((encode for kind, encode in ENCODERS.items() if isinstance(value, kind)), None)
    if encode is None:
        raise ProgramError(f"{place} has the type {type(value).__qualname__}, which a save cannot hold")
    return encode(value, place, arrays)


def _array(value: NDArray[Any], place: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    if value.dtype.hasobject:
        raise ProgramError(f"{place} is an array of Python objects, which a save cannot hold")
    found = {"$array": f"{len(arrays)} {place}"}
    if value.dtype.isbuiltin == 2:  # a type that a package has added, such as ml_dtypes; its kind may be `f`
        found["dtype"] = value.dtype.name
        value = value.view(f"u{value.dtype.itemsize}")
    arrays[found["$array"]] = value
    return found


def _scalar(value: np.generic, place: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return {**_array(np.asarray(value), place, arrays), "scalar": True}


def _bits(value: Bits, place: str, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    return {**_array(value.values, place, arrays), "dtype": value.dtype}


def _float(value: float, *_: object) -> Any:
    return value if math.isfinite(value) else {"$float": str(value)}


def _bytes(value: bytes, *_: object) -> Any:
    return {"$bytes": base64.b64encode(value).decode()}


def _list(value: list[Any] | tuple[Any, ...], place: str, arrays: dict[str, NDArray[Any]]) -> Any:
    items = [_encoded(item, f"{place}.{k}", arrays) for k, item in enumerate(value)]
    return {"$tuple": items} if isinstance(value, tuple) else items


def _dictionary(value: dict[Any, Any], place: str, arrays: dict[str, NDArray[Any]]) -> Any:
    items = {key: _encoded(item, f"{place}.{key}", arrays) for key, item in value.items()}
    if all(isinstance(key, str) and not key.startswith(TAG) for key in items):
        return items
    return {"$items": [(_encoded(key, f"a key of {place}", {}), item) for key, item in items.items()]}


ENCODERS: dict[Any, Callable[..., Any]] = {
    np.ndarray: _array,
    np.generic: _scalar,  # before float: a float64 is one
    Bits: _bits,
    float: _float,
    bytes: _bytes,
    (list, tuple): _list,
    dict: _dictionary,
}


def _decoded(value: Any, arrays: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    decode = next((decode for tag, decode in DECODERS.items() if tag in value), None)
    return decode(value, arrays) if decode else {key: _decoded(item, arrays) for key, item in value.items()}


def _decoded_array(value: dict[str, Any], arrays: Any) -> Any:
    array = arrays[value["$array"]]
    if "dtype" in value:
        return Bits(value["dtype"], array)
    return array[()] if value.get("scalar") else array


DECODERS: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    "$array": _decoded_array,
    "$float": lambda value, _: float(value["$float"]),
    "$bytes": lambda value, _: base64.b64decode(value["$bytes"]),
    "$tuple": lambda value, arrays: tuple(_decoded(value["$tuple"], arrays)),
    "$items": lambda value, arrays: {_decoded(key, arrays): _decoded(item, arrays) for key, item in value["$items"]},
}
