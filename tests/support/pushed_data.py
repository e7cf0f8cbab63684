"""Puts data into a store as a push does, with packs as small as a test wants, and counts what is read of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from baton.domain.data_manifest import DataFile, DataManifest, Pack, manifest_object, pack_object
from baton.storage.directory import DirectoryStore


def push(store: DirectoryStore, source: Path, *, pack_bytes: int = 4096) -> DataManifest:
    """Put a folder or one file into the store, in packs of `pack_bytes`. Return its manifest."""
    root = source if source.is_dir() else source.parent
    paths = [source] if source.is_file() else [path for path in source.rglob("*") if path.is_file()]
    named = sorted((path.relative_to(root).as_posix(), path.read_bytes()) for path in paths)
    files = tuple(DataFile(name, len(content), sha256(content)) for name, content in named)
    stream = b"".join(content for _, content in named)
    chunks = [stream[at : at + pack_bytes] for at in range(0, len(stream), pack_bytes)]
    for chunk in chunks:
        store.put(pack_object(sha256(chunk)), chunk)
    packs = tuple(Pack(sha256(chunk), len(chunk)) for chunk in chunks)
    manifest = DataManifest(kind="folder" if source.is_dir() else "file", files=files, packs=packs)
    store.put(manifest_object(manifest.digest), manifest.encode())
    return manifest


def sha256(content: bytes) -> str:
    """The digest in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def reference(manifest: DataManifest, name: str = "photos") -> str:
    """What a spec names as `dataset.data`."""
    return f"{name}@sha256:{manifest.digest}"


class CountedStore(DirectoryStore):
    """Keeps the names of the objects that are read. `before`: called before each read; may raise or end the process."""

    def __init__(self, root: Path, before: Callable[[str], Any] = lambda _name: None) -> None:
        super().__init__(root)
        self.before = before
        self.reads: list[str] = []
        self._reading = threading.Lock()

    @property
    def packs(self) -> list[str]:
        """The packs among `reads`."""
        return [name for name in self.reads if "/packs/" in name]

    def _counted(self, name: str) -> None:
        with self._reading:
            self.before(name)
            self.reads.append(name)

    def get(self, name: str) -> bytes:
        self._counted(name)
        return super().get(name)

    def open(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self._counted(name)
        return super().open(name, start, end)
