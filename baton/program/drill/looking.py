"""Looks at the variables of the program and at the random generators of its process, and makes a digest of each.

This is how the drill can say what a resumed run has not restored. It reads and calls nothing of the program's own: of
an object it sees the attributes, of a generator function the local variables.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import random
import sys
import sysconfig
import time
import types
import warnings
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePath
from typing import Any

LEAVES, MEMBERS, DEPTH, BYTES, SECONDS = 3000, 200, 6, 1 << 30, 10.0
"""Limits of one look: variables in all, members of one collection, depth, bytes of arrays, seconds."""
_TEXT = 60
_UNUSED = (624, 623)
"""Positions of a Mersenne Twister that was not used: seeded, and as NumPy makes it without a seed."""
_OWN = str(Path(__file__).resolve().parents[2])
_FOREIGN = tuple(
    {_OWN, *(str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "platstdlib", "purelib", "platlib"))}
)
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_SKIPPED = (types.ModuleType, *_FUNCTIONS, type, PurePath, zipfile.ZipFile, io.IOBase)
_SCALARS = (bool, int, float, complex, str, bytes, type(None))
_SEQUENCES = (list, tuple, deque)

Look = dict[str, list[str]]
"""Name of a variable -> kind (`generator`, `order`, `array`, `value`), digest, text."""


def digest_of(*parts: bytes | memoryview) -> str:
    """A short digest."""
    made = hashlib.blake2b(digest_size=12)
    for part in parts:
        made.update(part)
    return made.hexdigest()


def drawn_from() -> list[str]:
    """Those of the generators of Python and NumPy from which numbers were drawn since they were seeded."""
    found = [] if random.getstate()[1][-1] in _UNUSED else ["random"]
    if (numpy := sys.modules.get("numpy.random")) is not None:
        state = numpy.get_state(legacy=False)
        if state["state"].get("pos") not in _UNUSED or state["has_gauss"]:
            found.append("numpy.random")
    return found


def generators() -> dict[str, str]:
    """The digests of the states of the process's random generators, as far as their packages are loaded."""
    found = {"random": digest_of(repr(random.getstate()).encode())}
    if (numpy := sys.modules.get("numpy.random")) is not None:
        found["numpy.random"] = digest_of(repr(_plain(numpy.get_state(legacy=False))).encode())
    if (torch := sys.modules.get("torch")) is not None:
        found["torch"] = digest_of(memoryview(torch.get_rng_state().numpy()))
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            for number, state in enumerate(torch.cuda.get_rng_state_all()):
                found[f"torch.cuda:{number}"] = digest_of(memoryview(state.numpy()))
    return found


def variables(frame: types.FrameType | None) -> Look:
    """The variables of the program's functions that are running and of its modules, by name."""
    looker, seen = _Looker(), set[int]()
    while frame is not None:
        if _is_own(frame.f_code.co_filename):
            if frame.f_locals is not frame.f_globals:
                looker.take(frame.f_locals, f"{frame.f_code.co_name}()")
            if id(frame.f_globals) not in seen:
                seen.add(id(frame.f_globals))
                looker.take(frame.f_globals, "")
        frame = frame.f_back
    return looker.found


@functools.cache
def _path_of(file: str) -> str:
    return str(Path(file).resolve()) if not file.startswith("<") else ""


@functools.cache
def _is_own(file: str) -> bool:
    path = _path_of(file)
    return bool(path) and not path.startswith(_FOREIGN) and "site-packages" not in path


class _Looker:
    """Walks through objects, and stops at the limits."""

    def __init__(self) -> None:
        self.found: Look = {}
        self._seen: dict[int, Any] = {}  # with the value, so that no other one gets its id
        self._bytes = 0
        self._until = time.monotonic() + SECONDS
        self._here = os.getcwd()  # noqa: PTH109  # text that is compared with text

    def take(self, names: Mapping[str, Any], place: str) -> None:
        """All variables of a function or a module."""
        for name, value in sorted({**names}.items()):
            if not name.startswith("__"):
                self.walk(value, f"{place}.{name}" if place else name, 0)

    def walk(self, value: Any, path: str, depth: int) -> None:
        """One value, or what is in it."""
        if len(self.found) >= LEAVES or time.monotonic() > self._until:
            return
        if isinstance(value, _SKIPPED) or _is_archive(value):
            return
        if isinstance(value, _SCALARS):
            self._scalar(value, path)
        elif id(value) not in self._seen:
            self._seen[id(value)] = value
            with suppress(Exception), warnings.catch_warnings():  # an object of the program may be in any state
                warnings.simplefilter("ignore")
                if not self._leaf(value, path) and depth < DEPTH:
                    for name, member in islice(_members_of(value), MEMBERS):
                        self.walk(member, f"{path}.{name}", depth + 1)

    def _scalar(self, value: Any, path: str) -> None:
        text = repr(value)
        if not (isinstance(value, str) and self._here in value):  # each run has a folder of its own
            shown = text if not isinstance(value, (str, bytes)) else type(value).__name__
            self.found[path] = ["value", digest_of(text.encode()), shown[:_TEXT]]

    def _leaf(self, value: Any, path: str) -> bool:
        for kind, read in _LEAVES:
            if (found := read(value)) is not None:
                parts, text = found
                self._bytes += sum(len(part) for part in parts)
                if self._bytes <= BYTES:
                    self.found[path] = [kind, digest_of(*parts), text]
                return True
        return False


def _members_of(value: Any) -> Iterator[tuple[str, Any]]:
    """The members of a collection, or the attributes of an object."""
    if _is_of_baton(value):
        yield from getattr(value, "_drilled", dict)().items()
    elif isinstance(value, dict):
        yield from ((str(key), one) for key, one in dict.items(value))
    elif isinstance(value, _SEQUENCES):
        yield from ((str(number), one) for number, one in enumerate(value))
    elif isinstance(value, types.GeneratorType):
        yield "at", value.gi_frame.f_lasti if value.gi_frame is not None else "its end"
        yield "source", value.gi_yieldfrom
        yield from (value.gi_frame.f_locals.items() if value.gi_frame is not None else ())
    elif _is_iterator(value):
        yield from ((str(number), one) for number, one in enumerate(value.__reduce__()[1:]) if one is not None)
    elif (state := _state_of(value)) is not None:
        yield from state.items()
    else:
        yield from getattr(value, "__dict__", {}).items()
        for slot in getattr(type(value), "__slots__", ()):
            yield slot, getattr(value, slot, None)


def _is_of_baton(value: Any) -> bool:
    """Whether it is an object or a generator of this package, whose attributes say nothing of the program.

    What the drill should see of one, such as its position in the data, its method `_drilled` returns by name.
    """
    if isinstance(value, types.GeneratorType):
        return _path_of(value.gi_code.co_filename).startswith(_OWN)
    return type(value).__module__.partition(".")[0] == "baton"


def _is_archive(value: Any) -> bool:
    """Whether it is an open file of arrays of NumPy: its position tells what was read of it."""
    return type(value).__name__ == "NpzFile" and type(value).__module__.partition(".")[0] == "numpy"


def _is_iterator(value: Any) -> bool:
    """Whether it is an iterator of the standard library, whose position `__reduce__` tells without moving it."""
    kind = type(value)
    return kind.__module__ in ("builtins", "itertools") and hasattr(kind, "__next__")


def _state_of(value: Any) -> dict[str, Any] | None:
    """What a model, an optimizer or a schedule of a framework has as its state."""
    root = type(value).__module__.partition(".")[0]
    if root == "torch" and callable(read := getattr(value, "state_dict", None)):
        return dict(read())
    if root == "keras" and isinstance(found := getattr(value, "variables", None), (list, tuple)):
        own = {getattr(one, "path", str(number)): one for number, one in enumerate(found)}
        return {**own, "optimizer": getattr(value, "optimizer", None)}
    return None


def _generator(value: Any) -> tuple[list[bytes], str] | None:
    """A random generator."""
    state: Any = None
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, random.Random):
        state = value.getstate()
    elif name.startswith("numpy.random"):
        bits = getattr(value, "bit_generator", None)
        state = _plain(bits.state if bits is not None else value.state if hasattr(value, "state") else None)
        state = state or (_plain(value.get_state(legacy=False)) if hasattr(value, "get_state") else None)
    elif name == "torch._C.Generator":
        state = value.get_state().numpy().tobytes()
    elif name.startswith("jax") and str(getattr(value, "dtype", "")).startswith("key<"):
        state = sys.modules["jax"].random.key_data(value).tolist()
    return None if state is None else ([repr(state).encode()], name)


def _order(value: Any) -> tuple[list[bytes], str] | None:
    """A set: the order in which it is iterated."""
    if isinstance(value, (set, frozenset)) and all(isinstance(one, _SCALARS) for one in value):
        return [repr([*value]).encode()], f"{len(value)} members"
    return None


def _numbers(value: Any) -> tuple[list[bytes], str] | None:
    """A list of plain values."""
    if isinstance(value, _SEQUENCES) and value and all(isinstance(one, _SCALARS) for one in value):
        return [repr([*value]).encode()], f"{len(value)} members"
    return None


def _array(value: Any) -> tuple[list[bytes], str] | None:
    """An array or a tensor of any framework."""
    numpy, root = sys.modules.get("numpy"), type(value).__module__.partition(".")[0]
    if root == "torch" and hasattr(value, "detach") and hasattr(value, "cpu"):
        if value.dtype == sys.modules["torch"].bfloat16:
            value = value.detach().float()
        value = value.detach().cpu().numpy()
    elif root in ("jax", "jaxlib", "tensorflow", "keras") and hasattr(value, "shape") and hasattr(value, "dtype"):
        value = numpy.asarray(value) if numpy else None
    if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic)) or value.dtype.hasobject:
        return None
    shown = repr(value.item()) if value.ndim == 0 and value.dtype.kind in "biuf" else f"{value.dtype} {value.shape}"
    head = f"{value.dtype.str}{value.shape}"
    return [head.encode(), numpy.ascontiguousarray(value).tobytes()], shown[:_TEXT]


_LEAVES: tuple[tuple[str, Callable[[Any], tuple[list[bytes], str] | None]], ...] = (
    ("generator", _generator),
    ("order", _order),
    ("array", _array),
    ("value", _numbers),
)


def _plain(value: Any) -> Any:
    """The state of a generator of NumPy without arrays, whose text is shortened."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple):
        return tuple(_plain(one) for one in value)
    return value.tolist() if hasattr(value, "tolist") else value
