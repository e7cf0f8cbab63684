"""The smallest part of a file that is compared: an array, a value, or bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

CHUNK = 1 << 22


@dataclass(frozen=True)
class Leaf:
    """`kind`: `array`, `value` or `bytes`. `digest`: equal if and only if the leaves are equal, including dtype and
    shape. `shown`: a short text. `load`: reads the bytes again, to say how much two leaves differ.
    """

    kind: str
    digest: str
    shown: str
    dtype: str = ""
    shape: tuple[int, ...] = ()
    load: Callable[[], bytes] | None = None


Leaves = dict[str, Leaf]


class Unreadable(Exception):
    """The file is not of the format that its name says. It is then compared as bytes."""


def digest(head: str, content: IO[bytes] | bytes) -> str:
    """The digest of a text and a content."""
    made = hashlib.blake2b(head.encode(), digest_size=16)
    if isinstance(content, bytes):
        made.update(content)
    else:
        while chunk := content.read(CHUNK):
            made.update(chunk)
    return made.hexdigest()


def array(dtype: str, shape: tuple[int, ...], content: IO[bytes] | bytes, load: Callable[[], bytes]) -> Leaf:
    """An array from its raw bytes."""
    head = f"{dtype} {list(shape)}"
    return Leaf("array", digest(head, content), head, dtype, shape, load)


def value(of: Any) -> Leaf:
    """A number, a text, or another value of JSON. Numbers are equal if they have the same text."""
    text = json.dumps(of, sort_keys=True, default=repr)
    return Leaf("value", digest("", text.encode()), text if len(text) <= 60 else f"{text[:57]}...")


def flat(of: Any, path: str = "") -> Iterator[tuple[str, Leaf]]:
    """The values of nested dictionaries and lists, by their dotted paths."""
    if isinstance(of, dict) and of:
        for key, one in of.items():
            yield from flat(one, f"{path}.{key}" if path else str(key))
    elif isinstance(of, list) and of and any(isinstance(one, (dict, list)) for one in of):
        for number, one in enumerate(of):
            yield from flat(one, f"{path}.{number}" if path else str(number))
    else:
        yield path, value(of)
