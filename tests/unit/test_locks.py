"""A process waits for another process's lock while that process makes progress, but not forever."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from baton.domain.errors import JobFailure
from baton.system import file_locks
from baton.system.caches import writing
from baton.system.file_locks import LockBusy, held


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_locks, "_POLL_SECONDS", 0.0)


def test_a_holder_that_does_nothing_is_given_up(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with held(lock), pytest.raises(LockBusy, match=f"holds {lock}"), held(lock, seconds=0.0):
        raise AssertionError("two processes hold the lock")


def test_a_holder_that_works_is_waited_for(tmp_path: Path) -> None:
    lock, asked = tmp_path / "x.lock", count()

    class Enough(Exception):
        pass

    def waiting() -> None:
        if next(asked) == 50:
            raise Enough

    steps = count()
    with held(lock), pytest.raises(Enough), held(lock, waiting, progress=lambda: next(steps), seconds=0.0):
        raise AssertionError("two processes hold the lock")


def test_a_cache_whose_lock_is_not_released_says_so(tmp_path: Path) -> None:
    lock = tmp_path / "x.lock"
    with (
        held(lock),
        pytest.raises(JobFailure, match="caching images: another process holds") as caught,
        writing(tmp_path, "caching images"),
        held(lock, seconds=0.0),
    ):
        raise AssertionError("two processes hold the lock")
    assert caught.value.reason == "cache_unusable"
