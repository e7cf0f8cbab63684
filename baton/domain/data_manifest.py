"""The manifest of pushed data: its files, and the packs that hold their bytes in the store.

The contents of all files, in the order of their paths, form one stream of bytes. The stream is cut into packs of at
most PACK_BYTES. So thousands of small files need few requests. A pack is an object whose name is the SHA-256 of its
bytes. Therefore a pack that the store already has is not sent again.

A cut depends only on the paths and contents near it. So a new file changes only the pack that gets its bytes, and the
packs after the next cut stay the same. This is content-defined chunking on whole files, compare Muthitacharoen,
Chen, Mazieres: A Low-bandwidth Network File System, SOSP 2001.
"""

from __future__ import annotations

import builtins
import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Literal, NamedTuple, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from baton.domain.data_reference import DATA_NAME
from baton.domain.errors import BatonError
from baton.domain.message_base import Message

DATA = "data"
PACK_BYTES = 16 << 20
"""The most bytes of a pack, and so of one upload request."""
CUT_ONE_IN = 256
"""On average one file in 256 ends its pack, even if the pack is not full. The hash of the file's path decides."""
MAX_FILES = 2_000_000
MAX_MANIFEST_BYTES = 512 << 20
"""Limit of an uncompressed manifest."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MAX_PATH_BYTES, MAX_PART_BYTES = 1_024, 255
"""Limits of a path and of each of its parts, in UTF-8. The second is the limit of common file systems."""
_M = TypeVar("_M", bound=Message)
_ORDINARY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_. -]*(/[A-Za-z0-9_-][A-Za-z0-9_. -]*)*")
"""Matches most paths. These need no full check, which takes seconds for a million paths."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
DataName = Annotated[str, Field(pattern=DATA_NAME)]
"""The name of pushed data, such as photos. One name has many versions, each with its own digest."""


class InvalidManifest(BatonError):
    """The manifest is damaged or contradicts itself."""

    code = "invalid-manifest"


class DataFile(NamedTuple):
    """One file. `path`: relative, with '/' between its parts. `size` in bytes."""

    path: str
    size: int
    sha256: str


class Pack(NamedTuple):
    """One object with bytes of the stream. `size` in bytes."""

    sha256: str
    size: int


class Piece(NamedTuple):
    """Bytes [start, end) of a pack: the next bytes of a file."""

    pack: str
    start: int
    end: int


class DataManifest(Message):
    """What was pushed. `kind`: a folder, or one file such as a zip.

    >>> one = DataFile("cats/1.png", 3, hashlib.sha256(b"cat").hexdigest())
    >>> two = DataFile("dogs/1.png", 3, hashlib.sha256(b"dog").hexdigest())
    >>> pack = Pack(hashlib.sha256(b"catdog").hexdigest(), 6)
    >>> manifest = DataManifest(kind="folder", files=(one, two), packs=(pack,))
    >>> [(piece.start, piece.end) for file, pieces in manifest.layout() for piece in pieces]
    [(0, 3), (3, 6)]
    >>> DataManifest.decode(manifest.encode()) == manifest
    True
    """

    format: Literal[1] = 1
    kind: Literal["folder", "file"]
    files: Annotated[tuple[DataFile, ...], Field(min_length=1, max_length=MAX_FILES)]
    packs: tuple[Pack, ...]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        paths = [file.path for file in self.files]
        _check_paths(paths)
        if self.kind == "file" and (len(paths) != 1 or "/" in paths[0]):
            raise ValueError("data of the kind file must contain one file and no folder")
        digests = (one.sha256 for some in (self.files, self.packs) for one in some)
        if not all(map(_SHA256.fullmatch, digests)):
            raise ValueError("sha256 must have 64 lower-case hexadecimal digits")
        if any(file.size < 0 for file in self.files) or any(not 0 < pack.size <= PACK_BYTES for pack in self.packs):
            raise ValueError(f"a file has 0 bytes or more, a pack 1 to {PACK_BYTES}")
        if len(set(self.packs)) != len({pack.sha256 for pack in self.packs}):
            raise ValueError("a pack has two sizes")
        if sum(file.size for file in self.files) != sum(pack.size for pack in self.packs):
            raise ValueError("the packs do not hold as many bytes as the files")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 of kind, paths, sizes and contents. The same files have the same digest, however they are packed."""
        return digest_of(self.kind, self.files)

    @property
    def bytes(self) -> int:
        """The sum of the files' sizes."""
        return sum(file.size for file in self.files)

    def layout(self) -> Iterator[tuple[DataFile, list[Piece]]]:
        """Yield each file with the pieces of packs that hold its bytes, in order."""
        packs = iter(self.packs)
        pack, at = Pack("", 0), 0
        for file in self.files:
            pieces, lacking = [], file.size
            while lacking:
                if at == pack.size:
                    pack, at = next(packs), 0
                taken = min(lacking, pack.size - at)
                pieces.append(Piece(pack.sha256, at, at + taken))
                at, lacking = at + taken, lacking - taken
            yield file, pieces

    def encode(self) -> builtins.bytes:
        """The compressed JSON that the store keeps."""
        return zlib.compress(self.model_dump_json().encode(), 6)

    @classmethod
    def decode(cls, data: builtins.bytes, limit: int = MAX_MANIFEST_BYTES) -> Self:
        """Read what `encode` wrote. Raises InvalidManifest, also if it has more than `limit` bytes uncompressed."""
        return _read(cls, data, limit)


class _Packs(Message):
    """The part of a manifest that lists its packs."""

    packs: tuple[Pack, ...]


def packs_of(data: bytes, limit: int = MAX_MANIFEST_BYTES) -> tuple[Pack, ...]:
    """The packs of an encoded manifest. Uses no memory for its files. Raises InvalidManifest."""
    return _read(_Packs, data, limit).packs


def _read(model: type[_M], data: bytes, limit: int) -> _M:
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, limit)
        if inflater.unconsumed_tail or not inflater.eof:
            raise InvalidManifest(f"the manifest is cut, or has more than {limit} bytes")
        return model.model_validate_json(text)
    except zlib.error as error:
        raise InvalidManifest(f"the manifest cannot be read: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        text_of = f"{where}: {first['msg']}" if where else first["msg"]
        raise InvalidManifest(f"the manifest cannot be read: {text_of}") from None


def _check_paths(paths: Sequence[str]) -> None:
    """Raise ValueError unless the paths are sorted, plain and relative, and no path is both a file and a folder."""
    if any(one >= following for one, following in pairwise(paths)):
        raise ValueError("the files must be sorted by path, each path once")
    folders: set[str] = set()
    for path in paths:
        if trouble := path_trouble(path):
            raise ValueError(f"the path {path!r} {trouble}")
        folder = path.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    if found := next((path for path in paths if path in folders), None):
        raise ValueError(f"{found!r} is both a file and a folder")


def path_trouble(path: str) -> str:
    """Why no file of pushed data can have this path, as a text that follows the path. Empty: the path is allowed.

    >>> path_trouble("cats/1.png"), path_trouble("../1.png")
    ('', 'is not a plain relative path')
    """
    if len(path) <= MAX_PART_BYTES and _ORDINARY.fullmatch(path):
        return ""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in path:
        return "is not a plain relative path"
    if "\\" in path:
        return "has a backslash"
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if max(sizes) > MAX_PART_BYTES or sum(sizes) + len(parts) - 1 > MAX_PATH_BYTES:
        return f"is longer than {MAX_PATH_BYTES} bytes, or has a part longer than {MAX_PART_BYTES}"
    return ""


def digest_of(kind: str, files: Iterable[DataFile]) -> str:
    """SHA-256 in hex of a kind and its files in the order of their paths."""
    digest = hashlib.sha256(f"baton-data-1\0{kind}\n".encode())
    for file in files:
        digest.update(f"{file.path}\0{file.size}\0{file.sha256}\n".encode())
    return digest.hexdigest()


def cuts(files: Sequence[tuple[str, int]]) -> Iterator[list[tuple[int, int, int]]]:
    """Group files (path, size) in the order of their paths into packs: lists of (index of the file, start, end).

    A file that does not fit in the rest of a pack begins a new one. A file larger than PACK_BYTES is cut. Empty files
    need no pack.

    >>> [[(i, end - start) for i, start, end in pack] for pack in cuts([("a", 5), ("b", PACK_BYTES), ("c", 1)])]
    [[(0, 5)], [(1, 16777216)], [(2, 1)]]
    """
    pack: list[tuple[int, int, int]] = []
    filled = 0
    for index, (path, size) in enumerate(files):
        if filled and filled + size > PACK_BYTES:
            yield pack
            pack, filled = [], 0
        for start in range(0, size, PACK_BYTES):
            end = min(start + PACK_BYTES, size)
            pack.append((index, start, end))
            filled += end - start
            if filled == PACK_BYTES:
                yield pack
                pack, filled = [], 0
        if filled and int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big") % CUT_ONE_IN == 0:
            yield pack
            pack, filled = [], 0
    if pack:
        yield pack


def manifest_object(digest: str) -> str:
    """The object name of a manifest."""
    return f"{DATA}/manifests/{digest}"


def pack_object(sha256: str) -> str:
    """The object name of a pack."""
    return f"{DATA}/packs/{sha256}"
