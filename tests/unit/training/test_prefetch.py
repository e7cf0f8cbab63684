"""Items that are computed ahead of time."""

from __future__ import annotations

import threading

import pytest

from tests.support.gcs import until
from worker.fetched.prefetch import ahead


@pytest.mark.parametrize("threads", [1, 3])
def test_they_come_in_order(threads: int) -> None:
    assert list(ahead(lambda n: n * n, range(20), threads=threads, depth=4)) == [n * n for n in range(20)]
    assert list(ahead(lambda n: n, range(0))) == []


def test_some_are_made_before_they_are_asked_for_and_no_more_than_that() -> None:
    made: list[int] = []
    items = ahead(made.append, range(10), depth=2)
    next(items)
    until(lambda: made == [0, 1, 2], 60, "two more")
    items.close()  # type: ignore[attr-defined]
    assert made == [0, 1, 2]
    until(lambda: not [one for one in threading.enumerate() if one.name.startswith("ahead")], 60, "the threads' end")


def test_who_waits_for_an_item_that_hangs_can_give_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.fetched.prefetch.LOOK_SECONDS", 0.01)
    hangs = threading.Event()

    def give_up() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        next(ahead(lambda _n: hangs.wait(), range(3), depth=1, waiting=give_up))
    hangs.set()


def test_an_error_comes_where_its_item_would_have() -> None:
    items = ahead(lambda n: 1 // (n - 1), range(3))
    assert next(items) == -1
    with pytest.raises(ZeroDivisionError):
        next(items)
