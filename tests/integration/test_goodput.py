"""The time of a real job with a kill, a stop on notice and a pause: it is measured, reported, and adds up to the
whole.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from baton.domain.goodput import Bucket
from tests.support.jobs import Jobs, tiny
from tests.support.worker import Workers

EVENTS = {"checkpoint_overdue", "restarted"}


def between(view: dict[str, Any], begun: str, ended: str = "finished_at") -> float:
    """Seconds between two times of a view."""
    first, last = (datetime.fromisoformat(view[name]) for name in (begun, ended))
    return (last - first).total_seconds()


def spent(seconds: dict[str, float]) -> float:
    return sum(seconds[bucket] for bucket in Bucket)


def test_every_second_of_an_interrupted_job_is_accounted_for(jobs: Jobs, workers: Workers) -> None:
    first = workers.start()
    job = jobs.submit(tiny(checkpoint={"every": "20 steps"}))
    jobs.await_job(job, lambda view: bool(view["checkpoint"]) and view["progress"]["global_step"] >= 50)
    first.kill_group()
    second = workers.start()
    jobs.await_job(job, lambda view: view["status"] == "running" and view["attempts"] == 2)
    second.terminate()
    workers.start()
    ended = jobs.await_end(job)
    assert ended["status"] == "succeeded"
    attempts = jobs.items(job, "attempts")
    assert [a["state"] for a in attempts] == ["lost", "preempted", "succeeded"]

    goodput = ended["goodput"]
    assert goodput["total"] == pytest.approx(between(ended, "created_at"), abs=0.01)
    assert spent(goodput) == pytest.approx(between(ended, "created_at"), rel=0.01)
    for attempt in attempts:
        assert spent(attempt["seconds"]) == pytest.approx(between(attempt, "created_at"), rel=0.01)
    lost, warned, last = (attempt["seconds"] for attempt in attempts)
    assert lost["other"] >= 2  # from the worker's last heartbeat until its lease of 8 s expired
    assert (warned["redone"], last["redone"]) == (pytest.approx(0, abs=2), 0)
    # The workers measured nearly all of the time that the service measured, but less of it on a busy machine.
    for attempt, seconds in ((attempts[1], warned), (attempts[2], last)):
        assert seconds["other"] <= 0.2 * between(attempt, "claimed_at") + 2
    assert min(last[name] for name in ("startup", "restore", "training", "validation", "evaluation")) > 0
    assert 0 < goodput["goodput"] < 1
    assert not EVENTS & {event["kind"] for event in jobs.items(job, "events")}

    status = ended["checkpoint"]
    assert status["interval_seconds"] > 0
    assert 0 < status["stall_seconds"] < status["age_seconds"] + between(ended, "created_at")
    assert status["save_seconds"] > 0
    assert not status["overdue"]
