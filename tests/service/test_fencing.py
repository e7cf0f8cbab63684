"""One writer: whoever lost the lease can change nothing."""

from __future__ import annotations

import pytest

from tests.service.helpers import Api, WorkerHand, assert_problem
from tests.service.writes import WRITES, everything


@pytest.mark.parametrize("write", WRITES)
def test_a_zombie_changes_nothing_while_another_trains(api: Api, write: str) -> None:
    zombie = api.running("zombie")
    zombie.checkpoint(10)
    api.let_lease_run_out(zombie.attempt_id)
    api.conduct()
    heir = api.claim(zombie.job_id, "heir")
    heir.beat("training")
    assert heir.fence == zombie.fence + 1
    before = everything(api, zombie.job_id)
    assert_problem(WRITES[write](zombie), 409, "lease-lost")
    assert everything(api, zombie.job_id) == before
    assert heir.beat("training").status_code == 200


@pytest.mark.parametrize("write", WRITES)
def test_a_zombie_changes_nothing_while_its_heir_waits(api: Api, write: str) -> None:
    zombie = api.running("zombie")
    api.let_lease_run_out(zombie.attempt_id)
    api.conduct()
    before = everything(api, zombie.job_id)
    assert_problem(WRITES[write](zombie), 409, "lease-lost")
    assert everything(api, zombie.job_id) == before


@pytest.mark.parametrize(("write", "fence"), [*((write, 2) for write in WRITES), ("finish", 0), ("finish", 2**53)])
def test_another_fence_opens_no_door(api: Api, write: str, fence: int) -> None:
    hand = api.running()
    before = everything(api, hand.job_id)
    hand.grant = {**hand.grant, "fence": fence}
    assert_problem(WRITES[write](hand), 409, "lease-lost")
    assert everything(api, hand.job_id) == before


@pytest.mark.parametrize(
    ("write", "outcome"),
    [*((write, "preempted") for write in WRITES if write != "finish"), ("heartbeat", "succeeded"), ("epoch", "failed")],
)
def test_nothing_is_written_after_the_finish(api: Api, write: str, outcome: str) -> None:
    hand = api.running()
    assert hand.finish(outcome).status_code == 200
    before = everything(api, hand.job_id)
    assert_problem(WRITES[write](hand), 409, "lease-lost")
    assert everything(api, hand.job_id) == before


@pytest.mark.parametrize("write", WRITES)
def test_an_unclaimed_attempt_takes_no_writes(api: Api, write: str) -> None:
    job = api.submit()
    hand = WorkerHand(api, api.attempt(job["id"])["id"], job["id"], grant={"fence": 0, "attempt": 1})
    assert_problem(WRITES[write](hand), 409, "lease-lost")


def test_the_row_is_the_truth_until_the_conductor_moves_it(api: Api) -> None:
    """A lease that ran out unnoticed is still the worker's: no other attempt can exist before the reconciler's pass."""
    hand = api.running()
    api.let_lease_run_out(hand.attempt_id)
    assert hand.checkpoint(5).status_code == 201
    assert hand.beat("training").status_code == 200
    api.conduct()
    assert api.attempt(hand.job_id)["state"] == "running"


def test_a_fence_is_never_given_twice(api: Api) -> None:
    job_id = api.submit(retry={"max_attempts_without_progress": 100})["id"]
    fences = []
    for _ in range(4):
        hand = api.claim(job_id)
        fences.append(hand.fence)
        hand.finish("preempted")
    assert fences == [1, 2, 3, 4]
