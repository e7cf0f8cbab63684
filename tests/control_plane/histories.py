"""Short calls by which a user and workers do everything that can happen to a job, and the job's record."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.control_plane.record import Record, load
from tests.service.helpers import SPEC, Api

STAGES = [
    {**SPEC["stages"][0], "steps_per_epoch": 10, "epochs": 2},
    {**SPEC["stages"][1], "steps_per_epoch": 10, "epochs": 1},
]


def spec(**changes: Any) -> dict[str, Any]:
    return {**SPEC, "stages": STAGES, "retry": {"max_failures": 1, "backoff": "0s"}, **changes}


def record(api: Api, job_id: str) -> Record:
    with api.services.database.read() as session:
        return load(session, job_id)


def position(stage: int, epoch: int, step: int, total: int) -> dict[str, int]:
    return {"stage": stage, "epoch": epoch, "step": step, "global_step": total}


def long_story(api: Api) -> Record:
    """A job that succeeded in attempt 5.

    The attempts before were preempted, lost, failed and paused, each with a checkpoint. It has three epochs.
    """
    hand = api.running(**spec())
    job = hand.job_id
    hand.checkpoint(5, position=position(0, 0, 5, 5))
    hand.beat("stopping")
    hand.finish("preempted")
    hand = api.claim(job, "w2")
    hand.beat("training")
    hand.epoch(1, 1, 1)
    hand.checkpoint(10, "latest", "best", position=position(0, 1, 0, 10))
    hand.artifact()
    api.let_lease_run_out(hand.attempt_id)
    api.conduct()
    hand = api.claim(job, "w1")
    hand.beat("restoring")
    hand.post("notes", kind="restored", message="resuming", data={"prefix": hand.grant["checkpoints"][0]["prefix"]})
    hand.beat("training")
    hand.finish("failed", reason="exception", message="a bug")
    hand = api.claim(job, "w1")
    hand.beat("training")
    hand.checkpoint(15, position=position(0, 1, 5, 15))
    api.ask(job, "pause")
    hand.finish("paused")
    api.ask(job, "resume")
    hand = api.claim(job, "w2")
    hand.beat("training", progress=progress(stage=1))
    hand.epoch(2, 1, 2, stage_finished=True)
    hand.checkpoint(20, "latest", "best", position=position(1, 0, 0, 20))
    hand.epoch(3, 2, 1, stage_finished=True)
    hand.checkpoint(30, "latest", "best", position=position(1, 1, 0, 30))
    hand.artifact(content=b"better")
    assert hand.finish("succeeded").status_code == 200
    return record(api, job)


def progress(stage: int) -> dict[str, int]:
    names = ("stages", "epoch", "epochs", "step", "steps", "global_step", "total_steps")
    return {"stage": stage, **dict.fromkeys(names, 1)}


def failed_for_good(api: Api) -> str:
    hand = api.running(**spec())
    hand.finish("failed", reason="exception", message="a bug")
    hand = api.claim(hand.job_id)
    hand.finish("failed", reason="exception", message="a bug")
    return hand.job_id


def without_progress(api: Api) -> str:
    hand = api.running(**spec(retry={"max_attempts_without_progress": 2}))
    hand.finish("preempted")
    hand = api.claim(hand.job_id)
    hand.finish("preempted")
    return hand.job_id


def quarantined(api: Api) -> str:
    hand = api.running(**spec())
    first, second = hand.prefix(5), hand.prefix(8)
    hand.checkpoint(5, prefix=first, position=position(0, 0, 5, 5))
    hand.checkpoint(8, prefix=second, position=position(0, 0, 8, 8))
    hand.finish("preempted")
    hand = api.claim(hand.job_id)
    hand.post("quarantine", prefix=second, message="bad")
    hand.post("notes", kind="restored", message="resuming", data={"prefix": first})
    hand.beat("training")
    hand.checkpoint(6, position=position(0, 0, 6, 6))
    hand.finish("preempted")
    return hand.job_id


def rows_deleted(api: Api) -> str:
    """A job whose second attempt continues before the second row, and records it again."""
    hand = api.running(**spec())
    hand.epoch(1, 1, 1)
    hand.checkpoint(10, position=position(0, 1, 0, 10))
    hand.epoch(2, 1, 2)
    hand.finish("preempted")
    hand = api.claim(hand.job_id)
    hand.roll_back_rows(1)
    hand.beat("training")
    hand.epoch(2, 1, 2)
    hand.finish("preempted")
    hand = api.claim(hand.job_id)
    hand.roll_back_rows(1)
    return hand.job_id


def cancelled_while_it_ran(api: Api) -> str:
    hand = api.running(**spec())
    api.ask(hand.job_id, "cancel")
    hand.finish("cancelled")
    return hand.job_id


def retried(api: Api) -> str:
    """A job that failed, was retried, cancelled and retried again, and runs out of its budget again."""
    job = failed_for_good(api)
    api.ask(job, "retry")
    api.ask(job, "cancel")
    api.ask(job, "retry")
    for _ in range(2):
        hand = api.claim(job)
        hand.finish("failed", reason="exception", message="a bug")
    return job


def asked(*wishes: str) -> Callable[[Api], str]:
    def make(api: Api) -> str:
        job = str(api.submit(**spec())["id"])
        for wish in wishes:
            assert api.ask(job, wish).status_code == 202
        return job

    return make


GOOD = {
    "failed": failed_for_good,
    "without progress": without_progress,
    "quarantined": quarantined,
    "rows deleted": rows_deleted,
    "cancelled": cancelled_while_it_ran,
    "retried": retried,
    "paused": asked("pause"),
    "paused, resumed, cancelled": asked("pause", "resume", "cancel"),
    "running": lambda api: api.running(**spec()).job_id,
    "queued": asked(),
}
