"""A checkpoint is read back exactly as it was written, or the read fails."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baton.domain.manifest import CURSOR, MANIFEST, STATE
from baton.domain.wire import Position
from baton.storage import AlreadyExists, open_store
from baton.storage.directory import DirectoryStore
from baton.storage.errors import StoreUnavailable
from tests.support.faulty_store import FaultyStore
from worker.checkpointing.checkpoint_files import CorruptCheckpoint, Writer, read_checkpoint, write_checkpoint
from worker.checkpointing.snapshot import Snapshot

PREFIX = "jobs/j/checkpoints/0000000007-1-0"
OWNER = Writer("j", "a", 1, {"threads": "2"})


def snapshot(value: float = 1.5) -> Snapshot:
    arrays = {
        "network/0/kernel": np.full((3, 2), value, np.float32),
        "seed": np.array([1, 2**32 - 1], np.uint32),
        "optimizer/iterations": np.array(7, np.int64),
        "sums/train": np.array([0.1, np.nan, np.inf]),
    }
    return Snapshot(Position(stage=0, epoch=1, step=2, global_step=7), arrays, {"history": [], "best": None})


@pytest.fixture
def store(tmp_path: Path) -> DirectoryStore:
    store = open_store(f"file://{tmp_path}/store")
    assert isinstance(store, DirectoryStore)
    return store


def test_what_was_written_is_read(store: DirectoryStore) -> None:
    written = write_checkpoint(store, PREFIX, snapshot(), OWNER)
    read, manifest = read_checkpoint(store, PREFIX)
    assert read.position == snapshot().position
    assert read.cursor == snapshot().cursor
    assert {n: (a.dtype, a.shape, a.tobytes()) for n, a in read.arrays.items()} == {
        n: (a.dtype, a.shape, a.tobytes()) for n, a in snapshot().arrays.items()
    }
    assert manifest.environment == OWNER.environment
    assert written.bytes == sum(info.size for info in store.list(PREFIX + "/"))


def test_the_same_write_again_is_the_same_write(store: DirectoryStore) -> None:
    same = snapshot()
    assert write_checkpoint(store, PREFIX, same, OWNER) == write_checkpoint(store, PREFIX, same, OWNER)


def test_another_checkpoint_cannot_take_its_name(store: DirectoryStore) -> None:
    write_checkpoint(store, PREFIX, snapshot(), OWNER)
    with pytest.raises(AlreadyExists):
        write_checkpoint(store, PREFIX, snapshot(2.5), OWNER)


def test_only_the_committed_manifest_is_taken(store: DirectoryStore) -> None:
    other = f"{PREFIX}1"
    committed = write_checkpoint(store, PREFIX, snapshot(), OWNER)
    write_checkpoint(store, other, snapshot(2.5), OWNER)
    read_checkpoint(store, PREFIX, committed.manifest_crc32c)
    for name in (STATE, CURSOR, MANIFEST):
        store.copy(f"{other}/{name}", f"{PREFIX}/{name}")
    with pytest.raises(CorruptCheckpoint, match="differs from the committed one"):
        read_checkpoint(store, PREFIX, committed.manifest_crc32c)


@pytest.mark.parametrize("name", [STATE, CURSOR])
def test_without_a_whole_payload_there_is_no_manifest(tmp_path: Path, name: str) -> None:
    store = FaultyStore(tmp_path, 0.0)
    store.fails_for, store.error = name, StoreUnavailable("away")
    with pytest.raises(StoreUnavailable):
        write_checkpoint(store, PREFIX, snapshot(), OWNER)
    assert store.stat(f"{PREFIX}/{MANIFEST}") is None


@pytest.mark.parametrize("name", [STATE, CURSOR, MANIFEST])
def test_a_missing_file_is_noticed(store: DirectoryStore, name: str) -> None:
    write_checkpoint(store, PREFIX, snapshot(), OWNER)
    store.delete(f"{PREFIX}/{name}")
    with pytest.raises(CorruptCheckpoint):
        read_checkpoint(store, PREFIX)


@pytest.mark.parametrize("name", [STATE, CURSOR])
@pytest.mark.parametrize("where", [0, 9, -1])
def test_a_flipped_bit_is_noticed(store: DirectoryStore, name: str, where: int) -> None:
    write_checkpoint(store, PREFIX, snapshot(), OWNER)
    data = bytearray(store.get(f"{PREFIX}/{name}"))
    data[where] ^= 1
    store.put(f"{PREFIX}/{name}", bytes(data))
    with pytest.raises(CorruptCheckpoint):
        read_checkpoint(store, PREFIX)


@pytest.mark.parametrize("name", [STATE, CURSOR, MANIFEST])
def test_a_truncated_file_is_noticed(store: DirectoryStore, name: str) -> None:
    write_checkpoint(store, PREFIX, snapshot(), OWNER)
    store.put(f"{PREFIX}/{name}", store.get(f"{PREFIX}/{name}")[:-3])
    with pytest.raises(CorruptCheckpoint):
        read_checkpoint(store, PREFIX)
