"""A partial download: the bytes so far, and the version of the server's file that they belong to."""

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
    """`FILE.part` next to `FILE`, and `FILE.part.json` with URL, validator and total size. The caller holds a lock.

    The JSON file is written before the first byte, so that the version of all bytes is known.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._bytes, self._notes = Path(f"{file}.part"), Path(f"{file}.part.json")

    @property
    def path(self) -> Path:
        """The file with the bytes so far."""
        return self._bytes

    @property
    def size(self) -> int:
        """The number of bytes so far."""
        try:
            return self._bytes.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def total(self) -> int | None:
        """The size of the whole file in bytes, if the server sent it."""
        found = self._noted().get("total")
        return found if isinstance(found, int) else None

    def headers(self, url: str, *, checked: bool) -> dict[str, str]:
        """The headers that ask for the rest of the file. Empty: ask for the whole file.

        Without a validator, resuming needs a checksum (`checked`) to detect a mix of two versions.
        """
        noted, size = self._noted(), self.size
        validator = str(noted.get("validator") or "")
        if not size or noted.get("url") != url or not (validator or checked):
            return {}
        rest = {"Range": f"bytes={size}-"}
        return {**rest, "If-Range": validator} if validator else rest

    def same_version(self, headers: httpx.Headers) -> bool:
        """Whether the bytes so far belong to the server's current file. True if there is no validator to compare."""
        before, now = str(self._noted().get("validator") or ""), validator_of(headers)
        return not before or not now or before == now

    def begin(self, url: str, headers: httpx.Headers, total: int | None) -> None:
        """Starts again with an empty file, and stores URL, validator and total size."""
        self._bytes.write_bytes(b"")
        notes = {"url": url, "validator": validator_of(headers), "total": total}
        scratch = Path(f"{self._notes}.new")
        scratch.write_text(json.dumps(notes))
        scratch.replace(self._notes)

    @contextmanager
    def appending(self) -> Iterator[io.FileIO]:
        """Opens the file for further bytes. Written bytes stay in the file if the block ends with an error."""
        # Unbuffered: bytes that a full disk refused must not be written again at the close.
        with self._bytes.open("ab", buffering=0) as out:
            yield out

    def discard(self) -> None:
        """Deletes the partial file and its JSON file."""
        self._bytes.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def publish(self) -> None:
        """Renames the partial file to the final file, durably."""
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
    """A value for If-Range: a strong ETag, otherwise the date of the last change. Empty if there is neither."""
    tag = headers.get("etag", "")
    if tag and not tag.startswith("W/"):
        return str(tag)
    return str(headers.get("last-modified", ""))
