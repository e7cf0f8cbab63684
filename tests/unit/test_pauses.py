"""Pauses of background work are bounded, whatever the duration of the work."""

from __future__ import annotations

import time

import pytest

from service import pauses
from service.pauses import LONGEST_SECONDS, pause_after
from service.reconciler.job_deletion import CLEANERS


@pytest.mark.parametrize(("worked", "pause"), [(0.01, 0.03), (60.0, LONGEST_SECONDS)])
def test_a_pause_lasts_as_long_as_its_work_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch, worked: float, pause: float
) -> None:
    moments, slept = iter((100.0, 100.0 + worked)), list[float]()
    monkeypatch.setattr(time, "monotonic", lambda: next(moments))
    monkeypatch.setattr(pauses.time, "sleep", slept.append)
    with pause_after(3):
        pass
    monkeypatch.undo()
    assert slept == [pytest.approx(pause)]


def test_a_pause_is_no_hanging_call() -> None:
    """A deletion pauses in a thread of the pool, which ends a run whose calls make no progress."""
    assert CLEANERS._patience / 2 > LONGEST_SECONDS
