"""Code bundles: the files of a user's program as one tar archive, whose name is the SHA-256 of its bytes.

The archive is a plain ustar archive without compression: what it unpacks to is not larger than the archive itself. It
has regular files only, in any order; a path that does not fit in a ustar header stands in a pax header before it. Equal
files always give the same archive: no times, no owners, one order.

Whoever reads an archive checks all of it: the service when it is pushed, and each worker before the first file appears.
"""

from __future__ import annotations

import re
import tarfile
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from baton.domain.data_manifest import path_trouble
from baton.domain.errors import BatonError
from baton.domain.text import safe

CODE = "code"
BUNDLE_BYTES = 100 << 20
"""The most bytes of an archive."""
BUNDLE_FILES = 20_000
PREFIX = "sha256:"
"""Start of a digest in a spec: `program.code: sha256:…`."""

_BLOCK = 512
_END = bytes(2 * _BLOCK)
_PAX_BYTES = 8 << 10
_CHUNK = 1 << 20
_PAX_NAME = "././@PaxHeader"
_REFUSED = {
    tarfile.LNKTYPE: "a link",
    tarfile.SYMTYPE: "a link",
    tarfile.CHRTYPE: "a device",
    tarfile.BLKTYPE: "a device",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.DIRTYPE: "a folder",
    tarfile.GNUTYPE_SPARSE: "a file with holes",
}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
Read = Callable[[int], bytes]
"""Returns up to this many bytes, as `read` of a file does; fewer only at the end."""


class InvalidBundle(BatonError):
    """The archive is damaged, or has an entry that a bundle must not have."""

    code = "invalid-bundle"


class Member(NamedTuple):
    """One file. `path`: relative, with '/' between its parts. `size` in bytes."""

    path: str
    size: int
    executable: bool = False


def bundle_object(digest: str) -> str:
    """The object of a bundle in the store. `digest`: 64 hexadecimal digits."""
    return f"{CODE}/{digest}.tar"


def bundle_digest(code: str) -> str:
    """The hexadecimal digits of a digest as a spec writes it.

    >>> bundle_digest("sha256:" + "0" * 64) == "0" * 64
    True
    """
    return code.removeprefix(PREFIX)


def member_path_trouble(path: str) -> str:
    """Why no file of a bundle can have this path, as a text that follows the path. Empty if a file can have it.

    >>> member_path_trouble("src/train.py"), member_path_trouble("../train.py")
    ('', 'is not a plain relative path')
    """
    return path_trouble(path) or ("has a control character" if _CONTROL.search(path) else "")


class Paths:
    """The paths of one bundle. It is the same bundle on file systems that ignore letter case, or normalize names.

    >>> paths = Paths()
    >>> paths.add("src/train.py"), paths.add("Src/model.py")
    ('', 'differs from src only in letter case or in the form of its letters')
    """

    def __init__(self) -> None:
        self._files: dict[str, str] = {}
        self._folders: dict[str, str] = {}

    def add(self, path: str) -> str:
        """Add the path of a file. Returns why it must not be added, as a text that follows the path; empty: added."""
        key = _folded(path)
        if key in self._files:
            return "occurs twice" if self._files[key] == path else _alike(self._files[key])
        if key in self._folders:
            return "is both a file and a folder"
        self._files[key] = path
        folder = path.rpartition("/")[0]
        while folder:
            key = _folded(folder)
            if key in self._files:
                return f"is below {self._files[key]}, which is a file"
            if self._folders.setdefault(key, folder) != folder:
                return _alike(self._folders[key])
            folder = folder.rpartition("/")[0]
        return ""


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _alike(other: str) -> str:
    return f"differs from {safe(other)} only in letter case or in the form of its letters"


def header(member: Member) -> bytes:
    """The bytes before the content of a file."""
    info = tarfile.TarInfo(member.path)
    info.size, info.mode = member.size, 0o755 if member.executable else 0o644
    with suppress(ValueError):  # the path does not fit
        return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict")
    record = _pax_record(member.path)
    pax = tarfile.TarInfo(_PAX_NAME)
    pax.type, pax.size = tarfile.XHDTYPE, len(record)
    info.name = "long"
    return b"".join(
        (
            pax.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict"),
            record + padding(len(record)),
            info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "strict"),
        )
    )


def padding(size: int) -> bytes:
    """The bytes after the content of a file with `size` bytes."""
    return bytes(-size % _BLOCK)


def archive(files: Iterable[tuple[Member, Iterable[bytes]]]) -> Iterator[bytes]:
    """Yield the archive of files with their contents, in this order. Each content must have the size of its member.

    >>> content = b"".join(archive([(Member("train.py", 8), [b"print(1)"])]))
    >>> import io
    >>> [(member.path, b"".join(chunks)) for member, chunks in members(io.BytesIO(content).read)]
    [('train.py', b'print(1)')]
    """
    for member, chunks in files:
        yield header(member)
        yield from chunks
        yield padding(member.size)
    yield _END


def members(read: Read) -> Iterator[tuple[Member, Iterator[bytes]]]:
    """Yield each file with its content, which the next step skips if it was not read.

    Nothing is trusted: not the paths, the sizes, or the number of files.

    Raises:
        InvalidBundle: the archive is damaged, or has an entry that a bundle must not have. The text names the entry.
    """
    source, paths, count = _Source(read), Paths(), 0
    while (info := _entry(source)) is not None:
        count += 1
        if count > BUNDLE_FILES:
            raise InvalidBundle(f"the bundle has more than {BUNDLE_FILES:,} files")
        trouble = _trouble(info) or member_path_trouble(info.name) or paths.add(info.name)
        if trouble:
            raise InvalidBundle(f"the bundle's entry {_shown(info.name)} {trouble}")
        content = source.content(info.size)
        yield Member(info.name, info.size, bool(info.mode & 0o100)), content
        for _ in content:
            pass
        source.exactly(-info.size % _BLOCK)
    source.only_zeros()


def _entry(source: _Source) -> tarfile.TarInfo | None:
    """The next entry, with its path from a pax header if there is one. None at the end of the archive."""
    block = source.exactly(_BLOCK)
    if not any(block):
        if any(source.exactly(_BLOCK)):
            raise InvalidBundle("the bundle goes on after its end")
        return None
    info = _header(block)
    if info.type != tarfile.XHDTYPE:
        return info
    if not 0 < info.size <= _PAX_BYTES:
        raise InvalidBundle("the bundle has a pax header of a wrong size")
    path = _path_of(source.exactly(info.size))
    source.exactly(-info.size % _BLOCK)
    info = _header(source.exactly(_BLOCK))
    info.name = path
    return info


def _header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError) as error:
        raise InvalidBundle(f"the bundle is no tar archive, or damaged: {error}") from None


def _path_of(record: bytes) -> str:
    """The path in the pax record `LENGTH path=PATH`. Other records are refused: they may change sizes and kinds."""
    found = re.fullmatch(rb"(\d{1,5}) path=([^\n\0]+)\n", record)
    if found is None or int(found[1]) != len(record):
        raise InvalidBundle("the bundle has a pax header with something else than one path")
    try:
        return found[2].decode()
    except UnicodeDecodeError:
        raise InvalidBundle("the bundle has a path that is not valid UTF-8") from None


def _pax_record(path: str) -> bytes:
    body = b" path=" + path.encode() + b"\n"
    size = len(body) + 1
    while len(str(size)) + len(body) != size:
        size += 1
    return str(size).encode() + body


def _trouble(info: tarfile.TarInfo) -> str:
    if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE):
        return f"is {_REFUSED.get(info.type, 'of an unknown kind')}; a bundle has regular files only"
    return "" if 0 <= info.size <= BUNDLE_BYTES else f"has {info.size:,} bytes, more than a bundle may have"


def _shown(path: str) -> str:
    return repr(safe(path[:200]))


class _Source:
    """Reads an archive, and at most BUNDLE_BYTES of it."""

    def __init__(self, read: Read) -> None:
        self._read, self._left = read, BUNDLE_BYTES

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes. Raises InvalidBundle if there are fewer."""
        found = self._next(size)
        if len(found) != size:
            raise InvalidBundle("the bundle ends before its end: it is cut off, or an entry has a wrong size")
        return found

    def content(self, size: int) -> Iterator[bytes]:
        """The next `size` bytes in chunks."""
        while size:
            chunk = self.exactly(min(size, _CHUNK))
            size -= len(chunk)
            yield chunk

    def only_zeros(self) -> None:
        """Raise InvalidBundle if there is more than zeros, with which other programs fill their last block."""
        while rest := self._next(_CHUNK):
            if any(rest):
                raise InvalidBundle("the bundle goes on after its end")

    def _next(self, size: int) -> bytes:
        found = self._read(min(size, self._left + 1))
        self._left -= len(found)
        if self._left < 0:
            raise InvalidBundle(f"the bundle has more than {BUNDLE_BYTES:,} bytes")
        return found
