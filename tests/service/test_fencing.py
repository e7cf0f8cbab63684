"""Fencing: a worker that lost its lease can change nothing."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.service.helpers import Api, WorkerHand, assert_problem
from tests.service.writes import WRITES, everything


def assert_all_refused(hand: WorkerHand, writes: Iterable[str] = WRITES) -> None:
    """Each write of this worker gets 409 `lease-lost` and changes nothing."""
    before = everything(hand.api, hand.job_id)
    for write in writes:
        assert_problem(WRITES[write](hand), 409, "lease-lost")
        assert everything(hand.api, hand.job_id) == before, write


def test_a_worker_that_lost_its_lease_changes_nothing(api: Api) -> None:
    zombie = api.running("zombie")
    zombie.checkpoint(10)
    api.let_lease_run_out(zombie.attempt_id)
    api.conduct()
    assert_all_refused(zombie)  # the next attempt is queued
    successor = api.claim(zombie.job_id, "successor")
    successor.beat("training")
    assert successor.fence == zombie.fence + 1
    assert_all_refused(zombie)  # the next attempt trains
    assert successor.beat("training").status_code == 200


@pytest.mark.parametrize("fence", [0, 2, 2**53])
def test_writes_with_another_fence_are_refused(api: Api, fence: int) -> None:
    hand = api.running()
    hand.grant = {**hand.grant, "fence": fence}
    assert_all_refused(hand)


@pytest.mark.parametrize("outcome", ["preempted", "failed", "succeeded"])
def test_nothing_is_written_after_the_finish(api: Api, outcome: str) -> None:
    hand = api.running()
    assert hand.finish(outcome).status_code == 200
    assert_all_refused(hand, WRITES.keys() - {"finish"})


def test_an_unclaimed_attempt_takes_no_writes(api: Api) -> None:
    job = api.submit()
    assert_all_refused(WorkerHand(api, api.attempt(job["id"])["id"], job["id"], grant={"fence": 0, "attempt": 1}))


def test_an_expired_lease_is_valid_until_the_reconciler_ends_it(api: Api) -> None:
    """A lease that has expired still belongs to the worker until the reconciler's next pass: before that, no other
    attempt exists.
    """
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
