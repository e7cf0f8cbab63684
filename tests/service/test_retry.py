"""A failed or cancelled job is retried: the same job continues from its last good checkpoint, with fresh budgets."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from service.db.tables import Job
from service.reconciler import orphaned_objects
from service.usecases.deletion import LAST_WRITE
from tests.service.helpers import ON_BOTH, Api, WorkerHand, assert_problem
from tests.service.pushes import Push, submit
from tests.service.stored_checkpoints import save, stored, sweep

pytestmark = ON_BOTH

NO_BACKOFF = {"max_failures": 100, "max_attempts_without_progress": 100, "backoff": 0}


def failed(api: Api, **changes: Any) -> WorkerHand:
    hand = api.running(**changes)
    hand.finish("failed", reason="bad_data", message="a broken image")
    return hand


def retry(api: Api, job_id: str) -> dict[str, Any]:
    answer = api.ask(job_id, "retry")
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


# --- in which states ---


def cancelled_while_paused(api: Api) -> str:
    job_id = str(api.submit()["id"])
    api.ask(job_id, "pause")
    api.ask(job_id, "cancel")
    return job_id


def cancelled_while_it_ran(api: Api) -> str:
    hand = api.running()
    api.ask(hand.job_id, "cancel")
    hand.finish("cancelled")
    return hand.job_id


ENDED: dict[str, Callable[[Api], str]] = {
    "failed": lambda api: failed(api).job_id,
    "cancelled while paused": cancelled_while_paused,
    "cancelled while it ran": cancelled_while_it_ran,
}


@pytest.mark.parametrize("state", ENDED)
def test_an_ended_job_is_queued_again(api: Api, state: str) -> None:
    job_id = ENDED[state](api)
    before = api.job(job_id)
    job = retry(api, job_id)
    assert (job["status"], job["retries"], job["attempts"]) == ("queued", 1, before["attempts"] + 1)
    assert (job["reason"], job["message"], job["finished_at"]) == (None, None, None)
    event = api.items(job_id, "events")[-2]
    assert (event["kind"], event["actor"], event["data"]) == ("retried", "user", {"retry": 1, "global_step": 0})
    assert_problem(api.ask(job_id, "retry"), 409, "conflict")
    hand = api.claim(job_id)
    hand.beat("training")
    assert hand.finish("succeeded").status_code == 200
    job = api.job(job_id)
    assert (job["status"], job["failures"], job["retries"]) == ("succeeded", before["failures"], 1)


def paused(api: Api) -> str:
    job_id = str(api.submit()["id"])
    api.ask(job_id, "pause")
    return job_id


def cancelling(api: Api) -> str:
    hand = api.running()
    api.ask(hand.job_id, "cancel")
    return hand.job_id


def recovering(api: Api) -> str:
    hand = api.running()
    hand.finish("preempted")
    return hand.job_id


def succeeded(api: Api) -> str:
    hand = api.running()
    hand.finish("succeeded")
    return hand.job_id


REFUSED: dict[str, tuple[Callable[[Api], str], str]] = {
    "queued": (lambda api: str(api.submit()["id"]), "wait until it has ended"),
    "running": (lambda api: api.running().job_id, "wait until it has ended"),
    "recovering": (recovering, "wait until it has ended"),
    "cancelling": (cancelling, "wait until it has ended"),
    "paused": (paused, "resume it"),
    "succeeded": (succeeded, "baton submit --from"),
}


@pytest.mark.parametrize("status", REFUSED)
def test_another_job_is_refused_and_stays_as_it_is(api: Api, status: str) -> None:
    make, advice = REFUSED[status]
    job_id = make(api)
    before = api.job(job_id)
    assert before["status"] == status
    assert advice in assert_problem(api.ask(job_id, "retry"), 409, "conflict")["detail"]
    assert api.job(job_id)["version"] == before["version"]


# --- where a retried job continues ---


def test_it_goes_on_at_its_last_good_checkpoint(api: Api) -> None:
    hand = api.running(retry=NO_BACKOFF)
    hand.checkpoint(10)
    bad = hand.checkpoint(20).json()
    hand.finish("preempted")
    hand = api.claim(hand.job_id)
    hand.post("quarantine", prefix=bad["prefix"], message="flipped bit")
    hand.finish("failed", reason="bad_data")
    retry(api, hand.job_id)
    assert api.items(hand.job_id, "events")[-2]["message"] == "job retried: it continues at step 10"
    successor = api.claim(hand.job_id, "w2")
    assert [row["position"]["global_step"] for row in successor.grant["checkpoints"]] == [10]


def test_a_late_worker_of_the_cancelled_attempt_changes_nothing(api: Api) -> None:
    late = api.running()
    kept = save(api, late, 5)
    api.ask(late.job_id, "cancel")
    with api.services.database.write() as session:
        long_ago = datetime.now(UTC) - timedelta(hours=1)
        session.execute(update(Job).values(desired_at=long_ago))
    api.conduct()
    retry(api, late.job_id)
    orphan = late.prefix(9)
    api.services.store.put(f"{orphan}/manifest.json", b"{}")
    for answer in (late.beat(), late.checkpoint(9, prefix=orphan), late.finish("cancelled"), late.finish("failed")):
        assert_problem(answer, 409, "lease-lost")
    successor = api.claim(late.job_id, "w2")
    assert successor.fence > late.fence
    assert_problem(late.checkpoint(9, prefix=orphan), 409, "lease-lost")
    assert successor.beat().json()["directive"] == "continue"
    mine = save(api, successor, 9)
    sweep(api)
    assert stored(api, successor) == {kept, mine}


# --- budgets and totals ---


def fail(hand: WorkerHand) -> None:
    hand.finish("failed", reason="process_died")


def fail_to_restore(hand: WorkerHand) -> None:
    hand.beat("restoring")
    fail(hand)


def repeat(hand: WorkerHand) -> None:
    hand.beat("training")
    how = {"reason": "exception", "phase": "training", "at_step": 7, "fault": "ValueError line 3"}
    hand.finish("failed", message="a bug", **how)


# For each reason of a failed job: how each attempt ends, the number of attempts, and the budgets.
BUDGETS: dict[str, tuple[Callable[[WorkerHand], None], int, dict[str, Any]]] = {
    "too_many_failures": (fail, 2, {**NO_BACKOFF, "max_failures": 1}),
    "no_progress": (lambda hand: hand.finish("preempted"), 2, {**NO_BACKOFF, "max_attempts_without_progress": 2}),  # type: ignore[dict-item]
    "restore_failed": (fail_to_restore, 3, NO_BACKOFF),
    "deterministic_failure": (repeat, 2, NO_BACKOFF),
}


@pytest.mark.parametrize("reason", BUDGETS)
def test_budgets_are_fresh_and_totals_go_on(api: Api, reason: str) -> None:
    end, times, budgets = BUDGETS[reason]
    job_id = api.submit(retry=budgets)["id"]
    for round_ in (1, 2):
        for time in range(1, times + 1):
            end(api.claim(job_id))
            assert api.job(job_id)["status"] == ("failed" if time == times else "recovering")
        job = api.job(job_id)
        assert (job["reason"], job["attempts"]) == (reason, round_ * times)
        assert job["failures"] + job["preemptions"] == round_ * times
        retry(api, job_id)


def test_the_limit_of_the_runtime_counts_from_the_retry(api: Api) -> None:
    def claimed_long_ago(seconds: float) -> WorkerHand:
        hand = WorkerHand(api, api.attempt(job_id)["id"], job_id)
        info = {"name": "w1", "host": "h", "pid": 1, "version": "0", "protocol": 3, "spec_version": 3}
        answer = api.http.post(
            f"/v1/attempts/{hand.attempt_id}/claim", json={"claim_id": hand.claim_id, "worker": info}
        )
        hand.grant = answer.json()
        api.set_attempt(hand.attempt_id, claimed_at=datetime.now(UTC) - timedelta(seconds=seconds))
        return hand

    job_id = api.submit(limits={"max_runtime": "10m"})["id"]
    claimed_long_ago(590).finish("failed", reason="bad_data")
    retry(api, job_id)
    hand = claimed_long_ago(500)
    assert hand.grant["runtime_left"] == pytest.approx(600, abs=60)
    api.conduct()
    assert api.job(job_id)["status"] == "running"
    api.set_attempt(hand.attempt_id, claimed_at=datetime.now(UTC) - timedelta(seconds=621))
    api.conduct()
    job = api.job(job_id)
    assert (job["status"], job["reason"]) == ("paused", "max_runtime")
    # A limit that is raised while the retried job runs counts from the retry too: 1222 s of 21 min are used up.
    assert api.http.patch(f"/v1/jobs/{job_id}", json={"limits": {"max_runtime": "20m"}}).status_code == 200
    assert api.ask(job_id, "resume").status_code == 202
    hand = claimed_long_ago(601)
    assert api.http.patch(f"/v1/jobs/{job_id}", json={"limits": {"max_runtime": "21m"}}).status_code == 200
    hand.finish("failed", reason="max_runtime", message="enough")
    assert api.job(job_id)["status"] == "recovering"


# --- parts that treated the first end of the job as final ---


def test_who_polls_and_who_reads_the_log_sees_the_retry(api: Api) -> None:
    hand = failed(api)
    before = api.job(hand.job_id)
    last = api.items(hand.job_id, "events")[-1]["sequence"]
    retry(api, hand.job_id)
    seen = api.http.get(f"/v1/jobs/{hand.job_id}?wait=30&version={before['version']}").json()
    assert (seen["status"], seen["finished_at"]) == ("queued", None)
    assert [e["kind"] for e in api.items(hand.job_id, f"events?after={last}")] == ["retried", "queued"]
    api.ask(hand.job_id, "cancel")
    assert api.job(hand.job_id)["status"] == "cancelled"


def test_only_what_is_useful_stays_of_a_job_that_succeeded(api: Api) -> None:
    kept = {}
    for outcome, more in (("succeeded", {}), ("failed", {"reason": "bad_data"})):
        hand = api.running(checkpoint={"keep": 3})
        for step in (1, 2, 3, 4, 5):
            hand.checkpoint(step, *(["latest", "best"] if step == 2 else ["latest"]))
        hand.finish(outcome, **more)
        rows = api.items(hand.job_id, "checkpoints")
        kept[outcome] = [row["global_step"] for row in rows if row["state"] == "committed"]
    assert kept == {"succeeded": [5, 2], "failed": [5, 4, 3, 2]}


def test_a_claim_during_the_last_sweep_makes_it_not_the_last(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = failed(api)
    sweep_job = orphaned_objects._sweep_job

    def meanwhile(*args: Any) -> None:
        sweep_job(*args)
        retry(api, hand.job_id)
        api.claim(hand.job_id)

    monkeypatch.setattr(orphaned_objects, "_sweep_job", meanwhile)
    sweep(api, finished_at=datetime.now(UTC) - 2 * LAST_WRITE)
    monkeypatch.setattr(orphaned_objects, "_sweep_job", sweep_job)
    with api.services.database.read() as session:
        assert session.scalar(select(Job.sweep_at)) is not None


def test_pushed_data_that_was_deleted_must_be_pushed_again(api: Api) -> None:
    push = Push()
    push.push(api)
    job_id = submit(api, "photos").json()["id"]
    api.ask(job_id, "cancel")
    version = f"photos@sha256:{push.digest}"
    assert api.http.delete(f"/v1/data/photos/{push.digest}").status_code == 200
    problem = assert_problem(api.ask(job_id, "retry"), 409, "conflict")
    assert version in problem["detail"]
    assert "baton data push FOLDER --name photos" in problem["detail"]
    push.push(api)
    retry(api, job_id)
    assert_problem(api.http.delete("/v1/data/photos"), 409, "data-in-use")
