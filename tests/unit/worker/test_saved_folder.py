"""The files of a program's checkpoint: stored and restored as they were, verified, and continued after an outage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from baton.domain.wire import Position
from baton.storage.directory import DirectoryStore
from baton.storage.errors import StoreUnavailable
from worker.checkpointing.checkpoint_files import CheckpointReader, CorruptCheckpoint, Writer, write_checkpoint
from worker.checkpointing.saved_folder import SavedFolder, UnusableFolder
from worker.checkpointing.snapshot import Snapshot

PREFIX = f"jobs/{'0' * 32}/checkpoints/0000000007-1-0"
FILES = {"weights.bin": os.urandom(3 << 20), "deep/er/größe 1.txt": b"x", "empty": b""}


class Breaking(DirectoryStore):
    """A store whose reads end after the first chunk, as often as `breaks` says. `begun`: where each read began."""

    breaks = 0

    def open(self, name: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        self.begun = [*getattr(self, "begun", []), (name.rpartition("/")[2], start)]
        chunks = super().open(name, start, end)
        if self.breaks and name.endswith("weights.bin"):
            self.breaks -= 1
            return self._broken(chunks)
        return chunks

    def _broken(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        yield next(chunks)
        raise StoreUnavailable("the connection broke")


@pytest.fixture
def store(tmp_path: Path) -> Breaking:
    return Breaking(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path) -> SavedFolder:
    for name, data in FILES.items():
        (tmp_path / "save" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "save" / name).write_bytes(data)
    return SavedFolder(tmp_path / "save")


def written(store: DirectoryStore, folder: SavedFolder) -> str:
    position = Position(stage=0, epoch=0, step=7, global_step=7)
    snapshot = Snapshot(position, folder, {"cursor": {"a": 1}}, taken_at=datetime(2026, 1, 1, tzinfo=UTC))
    return write_checkpoint(store, PREFIX, snapshot, Writer("0" * 32, "a", 1, {})).manifest_crc32c


def found(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_files_are_restored_as_they_were_saved(store: Breaking, folder: SavedFolder, tmp_path: Path) -> None:
    reader = CheckpointReader(store, PREFIX, written(store, folder), tmp_path / "into")
    snapshot, manifest = reader.read()
    assert isinstance(snapshot.state, SavedFolder)
    assert found(snapshot.state.path) == FILES
    assert snapshot.cursor == {"cursor": {"a": 1}}
    assert {entry.name for entry in manifest.files} == {*(f"files/{name}" for name in FILES), "cursor.json"}


def test_a_broken_download_continues_in_the_middle(store: Breaking, folder: SavedFolder, tmp_path: Path) -> None:
    reader = CheckpointReader(store, PREFIX, written(store, folder), tmp_path / "into")
    store.breaks = 2
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            reader.read()
    snapshot, _ = reader.read()
    assert isinstance(snapshot.state, SavedFolder)
    assert found(snapshot.state.path) == FILES
    assert [start for name, start in store.begun if name == "weights.bin"] == [0, 1 << 20, 2 << 20]


@pytest.mark.parametrize("damage", [b"y", b"", b"xx"])
def test_a_damaged_file_is_noticed(store: Breaking, folder: SavedFolder, tmp_path: Path, damage: bytes) -> None:
    committed = written(store, folder)
    store.put(f"{PREFIX}/files/deep/er/größe 1.txt", damage)
    with pytest.raises(CorruptCheckpoint, match="does not match its manifest"):
        CheckpointReader(store, PREFIX, committed, tmp_path / "into").read()


def test_a_second_try_sends_only_what_is_missing(store: Breaking, folder: SavedFolder) -> None:
    written(store, folder)
    store.delete(f"{PREFIX}/files/empty")
    written(store, folder)
    assert store.stat(f"{PREFIX}/files/empty") is None


@pytest.mark.parametrize("name", ["a\\b", "a\nb", "x" * 250 + "/" + "y" * 250 + "/" + "z" * 250 + "/" + "w" * 200])
def test_a_name_that_cannot_be_stored_is_refused(folder: SavedFolder, name: str) -> None:
    (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
    (folder.path / name).write_bytes(b"")
    with pytest.raises(UnusableFolder, match="use another name"):
        folder.files()


def test_links_and_pipes_are_refused(folder: SavedFolder) -> None:
    (folder.path / "link").symlink_to("/etc/passwd")
    with pytest.raises(UnusableFolder, match="link is a link or a special file"):
        folder.files()
    (folder.path / "link").unlink()
    os.mkfifo(folder.path / "pipe")
    with pytest.raises(UnusableFolder, match="pipe is a link or a special file"):
        folder.files()
