"""Items that are computed ahead of time."""

from __future__ import annotations

import threading

import pytest

from tests.support.gcs import until
from worker.training.ahead import ahead


@pytest.mark.parametrize("threads", [1, 3])
def test_they_come_in_order(threads: int) -> None:
    assert list(ahead(lambda n: n * n, range(20), threads=threads, depth=4)) == [n * n for n in range(20)]
    assert list(ahead(lambda n: n, range(0))) == []


def test_some_are_made_before_they_are_asked_for_and_no_more_than_that() -> None:
    made: list[int] = []
    items = ahead(made.append, range(10), depth=2)
    next(items)
    until(lambda: made == [0, 1, 2], 10, "two more")
    items.close()  # type: ignore[attr-defined]
    assert made == [0, 1, 2]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("ahead")]


def test_an_error_comes_where_its_item_would_have() -> None:
    items = ahead(lambda n: 1 // (n - 1), range(3))
    assert next(items) == -1
    with pytest.raises(ZeroDivisionError):
        next(items)
