"""The worker checks its own store: the identity it finds, a store that hangs, and a store that works again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from baton.domain.store_identity import IDENTITY, StoreIdentity
from baton.storage.directory import DirectoryStore
from baton.storage.errors import StoreUnavailable
from baton.storage.identity import read_identity, write_identity
from tests.support.gcs import until
from worker.store_access import own_store as module
from worker.store_access.own_store import WorkerStore, describe_in_time

ID = "ab" * 16


class Moody(DirectoryStore):
    """A store that fails or hangs while the test says so."""

    away = False
    hanging: threading.Event | None = None

    def get(self, name: str) -> bytes:
        if self.hanging is not None:
            self.hanging.wait()
        if self.away:
            raise StoreUnavailable("the bucket is away")
        return super().get(name)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Moody]:
    found = Moody(tmp_path)
    yield found
    if found.hanging is not None:
        found.hanging.set()


def test_an_identity_is_written_once(store: Moody) -> None:
    assert read_identity(store) is None
    assert write_identity(store, StoreIdentity(id=ID, created_at=datetime.now(UTC))) == ID
    assert write_identity(store, StoreIdentity(id="cd" * 16, created_at=datetime.now(UTC))) == ID


def test_what_is_found_is_told(store: Moody) -> None:
    assert describe_in_time(store).id is None
    write_identity(store, StoreIdentity(id=ID, created_at=datetime.now(UTC)))
    found = describe_in_time(store)
    assert (found.url, found.id, found.problem) == (store.url, ID, None)
    store.put(IDENTITY, b"{}")
    assert "damaged" in str(describe_in_time(store).problem)
    store.away = True
    assert describe_in_time(store).problem == "the bucket is away"


def test_a_store_that_hangs_holds_up_nobody(store: Moody) -> None:
    store.hanging = threading.Event()
    assert describe_in_time(store, seconds=0.01).problem == "does not answer within 0.01 s"


def test_a_store_that_comes_back_is_noticed(store: Moody, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    store.away = True
    own = WorkerStore(store)
    own.start()
    assert not own.usable
    store.away = False
    until(lambda: own.usable, 60, "the store")
    store.away = True
    own.recheck()
    until(lambda: not own.usable, 60, "that the store is unavailable")


def test_whatever_stands_in_an_error_can_be_told(store: Moody, monkeypatch: pytest.MonkeyPatch) -> None:
    def odd(_name: str) -> bytes:
        raise StoreUnavailable("bad\udcff\nname")

    monkeypatch.setattr(store, "get", odd)
    assert describe_in_time(store).problem == r"bad\udcff name"
