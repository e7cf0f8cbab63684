"""Code bundles for tests: right ones, and archives as an attacker would make them."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping

from baton.domain.code_bundle import Member, archive


def bundle(files: Mapping[str, bytes], executable: Iterable[str] = ()) -> bytes:
    """The archive of these files, as the client makes it."""
    runs = set(executable)
    made = ((Member(path, len(files[path]), path in runs), [files[path]]) for path in sorted(files))
    return b"".join(archive(made))


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def crafted(*entries: tuple[str, bytes] | tarfile.TarInfo, form: int = tarfile.PAX_FORMAT) -> bytes:
    """An archive of tarfile: files by path and content, and entries of any kind."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry, io.BytesIO(bytes(entry.size)))
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
    return made.getvalue()


def entry(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """An entry that is no file."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info
