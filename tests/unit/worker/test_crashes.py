"""A worker whose jobs crash one after the other takes no work for some time."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from baton.domain.wire import Finish
from worker.api_client.client import ServiceClient
from worker.log_shipping.shipper import Logs
from worker.supervisor.crashes import LONGEST, SHORTEST, Crashes
from worker.supervisor.supervisor import Supervisor

DEVICE = "tensorflow.python.framework.errors_impl.InternalError in execute.py:59 quick_execute"


class Moved:
    """A clock that tests set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def made() -> tuple[Crashes, Moved]:
    clock = Moved()
    return Crashes(clock, lambda: 1.0), clock


def crash(crashes: Crashes, *jobs: str, reason: str = "process_died", fault: str | None = None) -> None:
    for job in jobs:
        crashes.ended(job, "failed", reason, fault)


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("process_died", None),
        ("augmentation_died", None),
        ("out_of_memory", None),
        ("disk_full", None),
        ("cache_unusable", None),
        ("exception", DEVICE),
    ],
)
def test_it_rests_after_three_crashes_of_different_jobs(reason: str, fault: str | None) -> None:
    crashes, clock = made()
    crash(crashes, "a", "b", reason=reason, fault=fault)
    assert (crashes.left, crashes.current_rest()) == (0.0, None)
    crash(crashes, "a", reason=reason, fault=fault)
    told = crashes.current_rest()
    assert told is not None
    assert (told.seconds, told.why) == (SHORTEST, f"3 crashes ({reason})")
    clock.now += SHORTEST
    assert (crashes.left, crashes.current_rest()) == (0.0, None)


def test_one_job_that_crashes_again_and_again_is_not_the_machines_fault() -> None:
    crashes, _ = made()
    crash(crashes, *["a"] * 10)
    assert crashes.left == 0.0


@pytest.mark.parametrize(
    ("reason", "fault"),
    [
        ("exception", "ValueError in squares.py:12 forward"),
        ("exception", "tensorflow.python.framework.errors_impl.InvalidArgumentError in execute.py:59 quick_execute"),
        ("exception", None),
        ("not_finite", None),
        ("bad_data", None),
        ("store_unavailable", None),
    ],
)
def test_failures_of_the_job_itself_are_no_crashes(reason: str, fault: str | None) -> None:
    crashes, _ = made()
    crash(crashes, "a", "b", "c", "d", reason=reason, fault=fault)
    assert crashes.left == 0.0
    crash(crashes, "a", "b")
    crash(crashes, "c", reason=reason, fault=fault)
    assert crashes.left == 0.0
    crash(crashes, "d")
    assert crashes.left == SHORTEST


def test_rests_grow_to_a_bound() -> None:
    crashes, clock = made()
    crash(crashes, "a", "b")
    rests = []
    for number in range(9):
        crash(crashes, f"c{number}")
        rests.append(crashes.left)
        clock.now += crashes.left
    assert rests == [min(SHORTEST * 2**doubled, LONGEST) for doubled in range(9)]
    assert rests[-1] == LONGEST


@pytest.mark.parametrize("outcome", ["succeeded", "preempted", "paused", "cancelled"])
def test_an_attempt_that_ends_well_ends_the_row(outcome: str) -> None:
    crashes, clock = made()
    crash(crashes, "a", "b", "c")
    clock.now += crashes.left
    crashes.ended("d", outcome, None)
    crash(crashes, "e", "f")
    assert crashes.left == 0.0


class Service:
    """Records how attempts end."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def hold(self, *_: object) -> None:
        """Ignore the token of an attempt."""

    def finish(self, attempt_id: str, finish: Finish) -> None:
        self.heard.append(f"{attempt_id} {finish.reason}")


@pytest.mark.process
def test_a_seat_counts_the_processes_that_die(tmp_path: Path) -> None:
    service = Service()
    supervisor = Supervisor(
        cast(ServiceClient, service), grace=1.0, logs=Logs(tmp_path.as_uri()), module="tests.support.dying_claim"
    )
    with supervisor:
        assert supervisor.await_rest()
        for attempt, claimed in (("one", True), ("late", True), ("early", False), ("two", True)):
            assert supervisor.crashes.current_rest() is None
            assert supervisor.await_warm()
            with supervisor.taken():
                assert supervisor.train(attempt) is claimed
        assert not supervisor.await_rest(0.0)
    assert service.heard == ["one process_died", "two process_died"]
    told = supervisor.crashes.current_rest()
    assert told is not None
    assert told.why == "3 crashes (process_died)"
