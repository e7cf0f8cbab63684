"""When a program that was told to stop gets SIGTERM and SIGKILL."""

from __future__ import annotations

import pytest

from worker.attempt.protocols import Stop
from worker.programs.stopping import Signal, Stopping


def signals(stopping: Stopping, *, attached: bool = True, saved_at: float | None = None) -> tuple[float, float]:
    """Seconds after the message at which each signal is due."""
    found = {}
    for tenth in range(20_000):
        due = stopping.due(stopping.since + tenth / 10, attached=attached, saved_at=saved_at)
        if due is not None:
            found.setdefault(due, tenth / 10)
    return found[Signal.TERMINATE], found[Signal.KILL]


@pytest.mark.parametrize(
    ("stop", "left", "attached", "saved_after", "expected"),
    [
        (Stop.PREEMPTED, 20.0, True, None, (14.0, 20.0)),
        (Stop.PREEMPTED, 20.0, True, 3.0, (8.0, 13.0)),  # it has saved, and has nothing left to do
        (Stop.PREEMPTED, 6.0, False, None, (0.0, 6.0)),
        (Stop.PAUSED, None, True, None, (900.0, 910.0)),
        (Stop.PAUSED, None, True, 30.0, (35.0, 40.0)),
        (Stop.PAUSED, None, False, None, (0.0, 10.0)),
        (Stop.CANCELLED, None, True, 3.0, (2.0, 5.0)),
    ],
)
def test_the_times(
    stop: Stop, left: float | None, attached: bool, saved_after: float | None, expected: tuple[float, float]
) -> None:
    stopping = Stopping(stop, since=100.0, left=left, patience=900.0)
    saved_at = None if saved_after is None else 100.0 + saved_after
    assert signals(stopping, attached=attached, saved_at=saved_at) == pytest.approx(expected, abs=0.11)
