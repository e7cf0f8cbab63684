"""The files whose arrays are compared one by one: .npy, .npz, .safetensors, .json, .keras, .h5, .pt, .pkl, and text."""

from __future__ import annotations

import ast
import io
import json
import math
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, Any

from baton.drill.files.leaf import Leaf, Leaves, Unreadable, array, digest, flat
from baton.drill.files.pickles import pickle_leaves, torch_leaves

TEXT_BYTES = 64 << 20
_NPY = b"\x93NUMPY"
_SAFETENSORS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "U8": "|u1", "BOOL": "|b1"}
_HEADER = 100 << 20
_ADDRESS = "shared_object_id"


def read_leaves(file: Path) -> Leaves:
    """The leaves of a file, by name. A file that is not what its name says is one leaf of bytes."""
    reader = READERS.get(file.suffix.lower(), _text)
    try:
        return reader(file)
    except Exception:  # a file may have any content under any name
        return _bytes(file)


def _bytes(file: Path) -> Leaves:
    with file.open("rb") as content:
        return {"": Leaf("bytes", digest("", content), f"{file.stat().st_size:,} bytes")}


def _text(file: Path) -> Leaves:
    """The lines of a text; other files as bytes."""
    if file.stat().st_size > TEXT_BYTES:
        return _bytes(file)
    raw = file.read_bytes()
    try:
        lines = raw.decode().split("\n")
    except UnicodeDecodeError:
        return _bytes(file)
    return {f"line {n}": Leaf("value", digest("", one.encode()), one[:60]) for n, one in enumerate(lines, start=1)}


def _json(file: Path) -> Leaves:
    return dict(flat(json.loads(file.read_bytes())))


def npy_leaf(content: IO[bytes], load: Callable[[], bytes]) -> Leaf:
    """The array of a .npy file. `load`: reads the whole file again."""
    if content.read(6) != _NPY:
        raise Unreadable
    major, _ = content.read(2)
    size = struct.unpack("<H" if major == 1 else "<I", content.read(2 if major == 1 else 4))[0]
    header = ast.literal_eval(content.read(size).decode("latin1"))
    begin = 6 + 2 + (2 if major == 1 else 4) + size
    dtype = header["descr"] if isinstance(header["descr"], str) else repr(header["descr"])
    order = " in Fortran order" if header["fortran_order"] and len(header["shape"]) > 1 else ""
    return array(f"{dtype}{order}", tuple(header["shape"]), content, lambda: load()[begin:])


def _npy(file: Path) -> Leaves:
    with file.open("rb") as content:
        return {"": npy_leaf(content, file.read_bytes)}


def _npz(file: Path) -> Leaves:
    found = {}
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            with archive.open(name) as content:
                found[name.removesuffix(".npy")] = npy_leaf(content, partial(_member, file, name))
    return found


def _member(file: Path | bytes, name: str) -> bytes:
    with zipfile.ZipFile(file if isinstance(file, Path) else io.BytesIO(file)) as archive:
        return archive.read(name)


def _safetensors(file: Path) -> Leaves:
    with file.open("rb") as content:
        size = struct.unpack("<Q", content.read(8))[0]
        if size > _HEADER:
            raise Unreadable
        header = json.loads(content.read(size))
    found = dict(flat(header.pop("__metadata__", {}), "__metadata__"))
    for name, one in header.items():
        load = partial(_part, file, 8 + size + one["data_offsets"][0], 8 + size + one["data_offsets"][1])
        found[name] = array(_SAFETENSORS.get(one["dtype"], one["dtype"]), tuple(one["shape"]), load(), load)
    return found


def _part(file: Path, begin: int, end: int) -> bytes:
    with file.open("rb") as content:
        content.seek(begin)
        return content.read(end - begin)


def _keras(file: Path) -> Leaves:
    """Configuration and weights. metadata.json has the time of the save, and `shared_object_id` is an address."""
    found: Leaves = {}
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            if name.endswith(".h5"):
                found |= {f"{name}/{path}": leaf for path, leaf in _h5_leaves(archive.read(name)).items()}
            elif name.endswith(".json") and name != "metadata.json":
                values = flat(json.loads(archive.read(name)))
                found |= {f"{name}: {path}": leaf for path, leaf in values if not path.endswith(_ADDRESS)}
    return found


def _h5(file: Path) -> Leaves:
    return _h5_leaves(file.read_bytes())


def _h5_leaves(content: bytes) -> Leaves:
    """The data sets, if the package h5py is there. Otherwise the bytes, which have no times in files of Keras."""
    try:
        import h5py
    except ImportError:
        return {"": Leaf("bytes", digest("", content), f"{len(content):,} bytes")}
    found: Leaves = {}

    def take(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            raw = item[()].tobytes() if hasattr(item[()], "tobytes") else repr(item[()]).encode()
            found[name] = array(item.dtype.str, tuple(item.shape), raw, lambda: raw)

    with h5py.File(io.BytesIO(content), "r") as read:
        read.visititems(take)
    return found


def _torch(file: Path) -> Leaves:
    return torch_leaves(file) if zipfile.is_zipfile(file) else pickle_leaves(file.read_bytes())


def _pickle(file: Path) -> Leaves:
    return pickle_leaves(file.read_bytes())


READERS: dict[str, Callable[[Path], Leaves]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".json": _json,
    ".keras": _keras,
    ".h5": _h5,
    ".hdf5": _h5,
    ".pt": _torch,
    ".pth": _torch,
    ".ckpt": _torch,
    ".bin": _torch,
    ".pkl": _pickle,
    ".pickle": _pickle,
}
ARRAYS = frozenset(READERS) - {".json", ".bin"}
"""The endings of files with the state of a model."""


def how_much(one: Leaf, other: Leaf) -> str:
    """How much two arrays differ, if NumPy is there: the number of elements and the largest difference."""
    if one.kind != "array" or (one.dtype, one.shape) != (other.dtype, other.shape):
        return f"{one.shown} against {other.shown}"
    try:
        import numpy as np

        assert one.load is not None
        assert other.load is not None
        first, second = (np.frombuffer(leaf.load(), np.dtype(leaf.dtype.split(" ")[0])) for leaf in (one, other))  # type: ignore[misc]
    except (ImportError, ValueError, TypeError):
        return one.shown
    odd = first != second
    text = f"{one.shown}, {int(odd.sum()):,} of {math.prod(one.shape):,} elements"
    if first.dtype.kind in "iuf" and odd.any():
        largest = np.abs(first[odd].astype(np.float64) - second[odd].astype(np.float64)).max()
        text += f", largest difference {largest:.3g}"
    return text
