"""How long a worker waits for work before it ends."""

from __future__ import annotations

import math
import threading
import time

import pytest

from worker.preemption.time_limit import read_limit
from worker.supervisor.idle import watch_idleness

SOON = 10.0


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600.0), (" 90s ", 90.0), ("", math.inf), ("none", math.inf)])
def test_what_a_user_gives(text: str, seconds: float) -> None:
    assert read_limit(text) == seconds


@pytest.mark.parametrize("text", ["10", "0s", "soon"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        read_limit(text)


def test_it_tells_once_and_not_while_there_is_work() -> None:
    busy, told = threading.Event(), threading.Event()
    busy.set()
    began = time.monotonic()
    watch_idleness(0.2, lambda: 0.0 if busy.is_set() else time.monotonic() - began, lambda _why: told.set())
    assert not told.wait(0.5)
    busy.clear()
    assert told.wait(SOON)
