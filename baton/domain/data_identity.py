"""The identity of a data set, independent of the machine: classes, file names, content digests, and the split.

Paths and times are not part of it, so a copy of the data set has the same identity. A checkpoint stores it as a
`DataRecord` of at most about 260 kB: one digest of everything, and a compressed table from which differences are found.
The table lists each file if all files fit. For a larger data set it has only classes and parts.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from pydantic import BaseModel, ConfigDict, ValidationError

FORMAT = 1
DIGEST_BYTES = 16
"""Size of the digest of one image's content."""

MAX_LISTED = 60_000
MAX_TABLE = 256_000
SHORT = 4
"""Bytes of each digest in the table. They only show which files differ; the full digest decides if any file differs."""

PARTS = {"T": "train", "V": "val", "E": "test", "-": "no part"}


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class FileTable(_Frozen):
    """Each image in data set order. `parts`: a key of PARTS for each image. `digests`: the first SHORT bytes."""

    names: tuple[str, ...]
    labels: tuple[int, ...]
    parts: str
    digests: tuple[str, ...]


class DataTable(_Frozen):
    """The table that is used to find differences. `counts`, `contents`: the number of images of each class, and a
    digest of these images.

    `parts`: the number of images of each part, and a digest of them. `files`: None if the data set is too large.
    """

    classes: tuple[str, ...]
    counts: tuple[int, ...]
    contents: tuple[str, ...]
    parts: dict[str, tuple[int, str]]
    files: FileTable | None = None


class DataRecord(_Frozen):
    """A data set in a checkpoint. `table`: a DataTable as JSON, compressed, in base64."""

    format: int = FORMAT
    digest: str
    classes: int
    images: int
    table: str

    def read_table(self) -> DataTable | None:
        """The table. None if it cannot be read."""
        try:
            return DataTable.model_validate_json(zlib.decompress(base64.b64decode(self.table)))
        except (ValueError, zlib.error, ValidationError):
            return None


@dataclass(frozen=True, eq=False)
class DataIdentity:
    """All images in data set order. Two identities are of the same data if their `digest` is equal.

    `names`: relative to the data set's directory. `labels`: indexes into `classes`. `parts`: a key of PARTS for each
    image. `digests`: DIGEST_BYTES for each image.
    """

    classes: tuple[str, ...]
    names: Sequence[str]
    labels: Sequence[int]
    parts: str
    digests: bytes

    @cached_property
    def digest(self) -> str:
        """Digest of everything, in hexadecimal."""
        packed = struct.pack(f"<{len(self.labels)}I", *self.labels)
        return _digest(json.dumps([self.classes, self.names, self.parts]).encode(), packed, self.digests, size=16)

    @cached_property
    def record(self) -> DataRecord:
        """The record for a checkpoint."""
        table = _packed(self.table(listed=True)) if len(self.names) <= MAX_LISTED else None
        if table is None or len(table) > MAX_TABLE:
            table = _packed(self.table(listed=False))
        return DataRecord(digest=self.digest, classes=len(self.classes), images=len(self.names), table=table)

    def table(self, *, listed: bool) -> DataTable:
        """The table that is used to find differences. `listed`: whether it lists each file."""
        members: list[list[int]] = [[] for _ in self.classes]
        for row, label in enumerate(self.labels):
            members[label].append(row)
        files = FileTable(
            names=tuple(self.names),
            labels=tuple(self.labels),
            parts=self.parts,
            digests=tuple(self._content(row)[:SHORT].hex() for row in range(len(self.names))),
        )
        return DataTable(
            classes=self.classes,
            counts=tuple(map(len, members)),
            contents=tuple(self._contents(rows, name) for name, rows in zip(self.classes, members, strict=True)),
            parts={name: self._part(key) for key, name in PARTS.items() if key in self.parts},
            files=files if listed else None,
        )

    def _content(self, row: int) -> bytes:
        return self.digests[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES]

    def _contents(self, rows: Sequence[int], of_class: str) -> str:
        names = [within(self.names[row], of_class) for row in rows]
        return _digest(json.dumps(names).encode(), *map(self._content, rows), size=8)

    def _part(self, key: str) -> tuple[int, str]:
        rows = [row for row, part in enumerate(self.parts) if part == key]
        names = json.dumps([self.names[row] for row in rows]).encode()
        return len(rows), _digest(names, *map(self._content, rows), size=8)


def within(name: str, of_class: str) -> str:
    """A file's name without the folder of its class. The name then stays the same if the class is renamed.

    >>> within("cat/a.png", "cat")
    'a.png'
    """
    return name.removeprefix(f"{of_class}/")


def content_digest(*content: bytes | memoryview) -> bytes:
    """DIGEST_BYTES of an image's content."""
    return _hashed(content, DIGEST_BYTES).digest()


def _digest(*content: bytes, size: int) -> str:
    return _hashed(content, size).hexdigest()


def _hashed(content: Iterable[bytes | memoryview], size: int) -> blake2b:
    found = blake2b(digest_size=size)
    for part in content:
        found.update(part)
    return found


def _packed(table: DataTable) -> str:
    return base64.b64encode(zlib.compress(table.model_dump_json().encode(), 6)).decode()
