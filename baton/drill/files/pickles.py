"""Reads pickles without running what is in them: each class and function is replaced by a record of its call.

The bytes of two pickles of equal content may differ: a pickle stores an object that occurs twice as a reference, and
after a restore two equal texts are often no longer the same object. Therefore the content is compared.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from baton.drill.files.leaf import Leaf, Leaves, Unreadable, array, digest, value

_DEPTH = 100


class Record:
    """A call that the pickle asks for, and the state that it sets. Nothing is called."""

    name = ""

    arguments: list[Any]
    state: Any
    items: list[Any]

    def __new__(cls, *arguments: Any, **named: Any) -> Record:
        """A pickle may make an object without a call of `__init__`."""
        made = super().__new__(cls)
        made.arguments, made.state, made.items = [*arguments, *named.values()], None, []
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        """Nothing more."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def append(self, item: Any) -> None:
        """An item of a list or a set."""
        self.items.append(item)

    add = append

    def extend(self, items: Any) -> None:
        """Items of a list."""
        self.items.extend(items)

    def __setitem__(self, key: Any, item: Any) -> None:
        self.items.append((key, item))

    def __call__(self, *arguments: Any) -> Record:
        """A call of what a call returned."""
        return type(self)(*arguments)

    def __hash__(self) -> int:
        return id(self)


class _Reader(pickle.Unpickler):
    """Classes and functions become kinds of `Record`."""

    def find_class(self, module: str, name: str) -> Any:
        """A class that only records. Never one of the program."""
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        return type(name, (Record,), {"name": f"{module}.{name}", "__module__": "recorded"})

    def persistent_load(self, pid: Any) -> Any:
        """A storage of a tensor, which is in another file of the archive."""
        return _Storage(pid)


class _Storage:
    """A reference to a storage: ("storage", type, key, device, number of elements)."""

    def __init__(self, pid: Any) -> None:
        if not isinstance(pid, tuple) or len(pid) < 5:
            raise Unreadable
        self.type = getattr(pid[1], "name", str(pid[1]))
        self.key = str(pid[2])


def _load(content: bytes) -> Any:
    try:
        return _Reader(io.BytesIO(content)).load()
    except Exception as error:  # a damaged pickle can raise anything
        raise Unreadable from error


def pickle_leaves(content: bytes) -> Leaves:
    """The arrays and values of a pickle."""
    return dict(_leaves(_load(content), "", {}, 0))


def torch_leaves(file: Path) -> Leaves:
    """The tensors and values of a file of torch.save."""
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        main = next((name for name in names if name.rpartition("/")[2] == "data.pkl"), None)
        if main is None:
            raise Unreadable
        folder = main.removesuffix("data.pkl") + "data/"
        found = _load(archive.read(main))
        storages = {name.removeprefix(folder): _storage(file, archive, name) for name in names if folder in name}
    return dict(_leaves(found, "", storages, 0))


def _storage(file: Path, archive: zipfile.ZipFile, name: str) -> Leaf:
    with archive.open(name) as content:
        return Leaf("bytes", digest("", content), "", load=partial(_member, file, name))


def _member(file: Path, name: str) -> bytes:
    with zipfile.ZipFile(file) as archive:
        return archive.read(name)


def _leaves(of: Any, path: str, storages: dict[str, Leaf], depth: int) -> Iterator[tuple[str, Leaf]]:
    if depth > _DEPTH:
        raise Unreadable
    if isinstance(of, dict):
        members: list[tuple[Any, Any]] = [(key if not isinstance(key, Record) else "?", one) for key, one in of.items()]
    elif isinstance(of, (list, tuple)) and any(isinstance(one, (dict, list, tuple, Record, bytes)) for one in of):
        members = [*enumerate(of)]
    elif isinstance(of, Record):
        if (tensor := _tensor(of, storages)) is not None:
            yield path, tensor
            return
        members = [*enumerate(of.arguments), ("state", of.state), *enumerate(of.items)]
        yield f"{path}.type", value(of.name)
    else:
        yield path, _plain(of)
        return
    for key, one in members:
        yield from _leaves(one, f"{path}.{key}" if path else str(key), storages, depth + 1)


def _tensor(of: Record, storages: dict[str, Leaf]) -> Leaf | None:
    """A tensor of PyTorch: its storage, the place in it, and its shape."""
    if not (of.name.startswith("torch._utils._rebuild") and of.arguments and isinstance(of.arguments[0], _Storage)):
        return None
    storage = of.arguments[0]
    if storage.key not in storages:
        raise Unreadable
    offset, shape, stride = of.arguments[1:4]
    kept, name = storages[storage.key], storage.type.removeprefix("torch.").removesuffix("Storage").lower()
    assert kept.load is not None
    dtype = _DTYPES.get(name, name)
    if dtype not in _DTYPES.values() or not _is_contiguous(shape, stride):
        # Its elements are not one part of the storage: the whole storage and the place in it are compared.
        head = f"{name} {list(shape)} {offset} {list(stride)} {kept.digest}"
        return Leaf("array", digest(head, b""), f"{name} {list(shape)}", name, tuple(shape))
    size = int(dtype[2])
    load = partial(_part, kept.load, offset * size, (offset + math.prod(shape)) * size)
    return array(dtype, tuple(shape), load(), load)


def _part(load: Callable[[], bytes], begin: int, end: int) -> bytes:
    return load()[begin:end]


def _is_contiguous(shape: Sequence[int], stride: Sequence[int]) -> bool:
    expected = 1
    for size, one in zip(reversed(shape), reversed(stride), strict=True):
        if size != 1 and one != expected:
            return False
        expected *= size
    return True


_DTYPES = {"float": "<f4", "double": "<f8", "half": "<f2", "long": "<i8", "int": "<i4", "byte": "|u1", "bool": "|b1"}


def _plain(of: Any) -> Leaf:
    if isinstance(of, (bytes, bytearray)):
        raw = bytes(of)
        return array("bytes", (len(raw),), raw, lambda: raw)
    if isinstance(of, _Storage):
        return value(of.key)
    return value(sorted(map(repr, of)) if isinstance(of, (set, frozenset)) else of)
