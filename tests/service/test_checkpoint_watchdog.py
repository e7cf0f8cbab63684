"""The job status shows how often checkpoints are saved, and reports when a checkpoint is overdue."""

from __future__ import annotations

import pytest

from tests.service.clock import MovedClock
from tests.service.helpers import ON_BOTH, Api, WorkerHand

pytestmark = ON_BOTH


def saving(api: Api, every: float = 30.0) -> WorkerHand:
    """A job that trains since second 0 and reports the interval of its checkpoints."""
    hand = api.running()
    hand.beat("training", interval_seconds=every)
    return hand


def alarms(api: Api, hand: WorkerHand) -> list[str]:
    return [kind for kind in api.kinds(hand.job_id) if kind in ("checkpoint_overdue", "checkpoint_resumed")]


def test_the_status_says_what_saving_costs_and_how_often_it_happens(api: Api, clock: MovedClock) -> None:
    hand = saving(api, every=42.5)
    assert api.job(hand.job_id)["checkpoint"] is None
    hand.checkpoint(7, seconds=3.0, stall_seconds=0.25)
    clock.to(12)
    status = api.job(hand.job_id)["checkpoint"]
    assert status.pop("committed_at")
    assert status == {
        "global_step": 7, "interval_seconds": 42.5, "save_seconds": 3.0, "stall_seconds": 0.25,
        "age_seconds": 12.0, "overdue": False,
    }  # fmt: skip
    assert api.items(hand.job_id, "checkpoints")[0]["stall_seconds"] == 0.25
    hand.finish("succeeded")
    clock.to(1000)
    assert api.job(hand.job_id)["checkpoint"]["age_seconds"] == 12.0


def test_overdue_checkpoints_and_the_next_checkpoint_have_one_event_each(api: Api, clock: MovedClock) -> None:
    hand = saving(api)
    hand.checkpoint(1)
    clock.to(90)
    api.conduct()
    assert not api.job(hand.job_id)["checkpoint"]["overdue"]
    clock.to(91)
    for _ in range(3):
        api.conduct()
    assert api.job(hand.job_id)["checkpoint"]["overdue"]
    event = api.items(hand.job_id, "events")[-1]
    assert (event["kind"], event["actor"]) == ("checkpoint_overdue", "conductor")
    assert event["data"] == {"attempt": 1, "age_seconds": 91.0, "interval_seconds": 30.0}
    hand.checkpoint(2)
    api.conduct()
    assert not api.job(hand.job_id)["checkpoint"]["overdue"]
    clock.to(300)
    api.conduct()
    assert alarms(api, hand) == ["checkpoint_overdue", "checkpoint_resumed", "checkpoint_overdue"]


def test_a_short_interval_is_given_a_minute(api: Api, clock: MovedClock) -> None:
    hand = saving(api, every=1.0)
    clock.to(60)
    api.conduct()
    assert alarms(api, hand) == []
    clock.to(61)
    api.conduct()
    assert alarms(api, hand) == ["checkpoint_overdue"]


def test_the_wait_for_a_worker_does_not_count_as_overdue(api: Api, clock: MovedClock) -> None:
    hand = saving(api)
    hand.checkpoint(1)
    hand.finish("preempted")
    clock.to(1000)
    api.conduct()
    successor = api.claim(hand.job_id)
    clock.to(1050)
    successor.beat("training", interval_seconds=30.0)
    clock.to(1140)
    api.conduct()
    assert alarms(api, hand) == []
    clock.to(1141)
    api.conduct()
    assert alarms(api, hand) == ["checkpoint_overdue"]


@pytest.mark.parametrize("phase", ["evaluating", "stopping"])
def test_phases_without_checkpoints_are_not_overdue(api: Api, clock: MovedClock, phase: str) -> None:
    hand = saving(api)
    hand.beat(phase)
    clock.to(1000)
    api.conduct()
    assert alarms(api, hand) == []


def test_without_a_reported_interval_nothing_is_overdue(api: Api, clock: MovedClock) -> None:
    hand = api.running()
    clock.to(1000)
    api.conduct()
    assert alarms(api, hand) == []


def test_the_next_attempt_begins_without_the_alarm_of_the_last(api: Api, clock: MovedClock) -> None:
    hand = saving(api)
    hand.checkpoint(1)
    clock.to(100)
    api.conduct()
    hand.finish("preempted")
    assert not api.job(hand.job_id)["checkpoint"]["overdue"]
    assert alarms(api, hand) == ["checkpoint_overdue"]
