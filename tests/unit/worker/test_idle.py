"""How long a worker waits for work before it ends."""

from __future__ import annotations

import math
import queue
import threading

import pytest

from worker.preemption.time_limit import read_limit
from worker.supervisor.idle import watch_idleness

SOON = 60.0


@pytest.mark.parametrize(("text", "seconds"), [("10m", 600.0), (" 90s ", 90.0), ("", math.inf), ("none", math.inf)])
def test_what_a_user_gives(text: str, seconds: float) -> None:
    assert read_limit(text) == seconds


@pytest.mark.parametrize("text", ["10", "0s", "soon"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be"):
        read_limit(text)


def test_it_tells_once_and_not_while_there_is_work() -> None:
    idle, looks = 0.0, threading.Semaphore(0)
    told: queue.Queue[str] = queue.Queue()

    def idle_seconds() -> float:
        looks.release()
        return idle

    watch_idleness(0.01, idle_seconds, told.put)
    for _ in range(3):
        assert looks.acquire(timeout=SOON)
    assert told.empty()
    idle = 0.01
    assert told.get(timeout=SOON) == "no work for 0.01 s (--idle)"
