"""A file on its way: the bytes so far, and from which version of the server's file they are."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from baton.system.caches import sync_directory


class Partial:
    """`FILE.part` beside `FILE`, and `FILE.part.json` with URL, validator and total size. Used under a lock.

    The notes are written before the first byte, so that bytes never lie there without the name of their version.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._bytes, self._notes = Path(f"{file}.part"), Path(f"{file}.part.json")

    @property
    def path(self) -> Path:
        """Where the bytes so far lie."""
        return self._bytes

    @property
    def size(self) -> int:
        """Bytes so far."""
        try:
            return self._bytes.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def total(self) -> int | None:
        """Bytes of the whole file, where the server said so."""
        found = self._noted().get("total")
        return found if isinstance(found, int) else None

    def headers(self, url: str, *, checked: bool) -> dict[str, str]:
        """What asks for the rest. Without a validator only where a checksum tells two versions apart (`checked`)."""
        noted, size = self._noted(), self.size
        validator = str(noted.get("validator") or "")
        if not size or noted.get("url") != url or not (validator or checked):
            return {}
        rest = {"Range": f"bytes={size}-"}
        return {**rest, "If-Range": validator} if validator else rest

    def same_version(self, headers: httpx.Headers) -> bool:
        """Whether the server's file is still the one whose beginning lies here, as far as it says."""
        before, now = str(self._noted().get("validator") or ""), validator_of(headers)
        return not before or not now or before == now

    def begin(self, url: str, headers: httpx.Headers, total: int | None) -> None:
        """Anew, from the first byte."""
        self._bytes.write_bytes(b"")
        notes = {"url": url, "validator": validator_of(headers), "total": total}
        scratch = Path(f"{self._notes}.new")
        scratch.write_text(json.dumps(notes))
        scratch.replace(self._notes)

    @contextmanager
    def appending(self) -> Iterator[io.FileIO]:
        """Takes further bytes, which are kept however the block ends."""
        # Unbuffered: what a full disk refuses must not be tried once more at the close.
        with self._bytes.open("ab", buffering=0) as out:
            yield out

    def discard(self) -> None:
        """Forgets it all."""
        self._bytes.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def publish(self) -> None:
        """Makes it the file itself, durably."""
        with self._bytes.open("rb+") as out:
            os.fsync(out.fileno())
        self._bytes.replace(self._file)
        self._notes.unlink(missing_ok=True)
        sync_directory(self._file.parent)

    def _noted(self) -> dict[str, object]:
        try:
            found = json.loads(self._notes.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def validator_of(headers: httpx.Headers) -> str:
    """What If-Range may carry: a strong ETag, or else the date of the last change; empty where there is neither."""
    tag = headers.get("etag", "")
    if tag and not tag.startswith("W/"):
        return str(tag)
    return str(headers.get("last-modified", ""))
