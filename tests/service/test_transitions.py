"""Every change of a job, an attempt or a stage has exactly one event that names it, with its cause and its actor."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import product

import pytest
from sqlalchemy import select

from baton.domain import states
from service.db.tables import Attempt, Job, Stage
from tests.service.helpers import ON_BOTH, Api, WorkerHand
from tests.service.starting_points import longer, start_from, trained
from tests.support.transitions import Told, told

pytestmark = ON_BOTH

Change = tuple[str, str | None, str]
CAUSED = ("paused", "cancelled", "failed", "recovering", "attempt_lost", "attempt_preempted", "attempt_failed")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
STEPS = 25


def check(api: Api, job_id: str) -> Told:
    """Compare the log with the rows."""
    log = api.items(job_id, "events?limit=1000")
    found = told(log)
    with api.services.database.read() as session:
        job = session.execute(select(Job).where(Job.id == job_id)).scalar_one()
        attempts = session.scalars(select(Attempt).where(Attempt.job_id == job_id)).all()
        stages = session.scalars(select(Stage).where(Stage.job_id == job_id)).all()
    assert found.job == job.state
    assert found.attempts == {row.number: row.state for row in attempts}
    assert {**dict.fromkeys([1, 2], "waiting"), **found.stages} == {row.stage: row.state for row in stages}
    reasons = {row.number: row.reason for row in attempts}
    for event in log:
        if event["kind"].startswith("attempt_"):
            assert event["data"]["reason"] == reasons[event["data"]["attempt"]]
        if event["kind"] in CAUSED:
            assert event["data"]["reason"]
    return found


class Walk:
    """One job at a time, and random actions on it, valid and invalid."""

    def __init__(self, api: Api, draw: random.Random) -> None:
        self.api, self.draw = api, draw
        self.changes: set[Change] = set()
        self.begin()

    def begin(self) -> None:
        retry = {"max_failures": 3, "max_attempts_without_progress": 20}
        self.job_id = str(self.api.submit(retry=retry)["id"])
        self.hand: WorkerHand | None = None

    def step(self) -> None:
        """Do one random action, then compare the rows with the log."""
        self.draw.choice(self.actions())()
        self.changes.update(check(self.api, self.job_id).changes)

    def actions(self) -> list[Callable[[], object]]:
        owner = [
            lambda wish=wish: self.api.ask(self.job_id, wish)
            for wish in ("pause", "resume", "resume", "cancel", "retry")
        ]
        if self.api.job(self.job_id)["status"] in states.TERMINAL_JOBS:
            return [self.begin, *owner]
        worker = [self.claim, self.claim, self.claim, self.beat, self.beat, self.epoch, self.finish, self.lose]
        return [*owner, self.api.conduct, *worker]

    def claim(self) -> None:
        attempt = self.api.attempt(self.job_id)
        if attempt["state"] == "queued":
            self.api.set_attempt(attempt["id"], not_before=LONG_AGO)
        hand = WorkerHand(self.api, attempt["id"], self.job_id)
        answer = hand.claim()
        if answer.status_code == 200:
            hand.grant = answer.json()
            self.hand = hand

    def beat(self) -> None:
        if self.hand:
            self.hand.beat(self.draw.choice(["starting", "restoring", "training", "training", "stopping"]))

    def epoch(self) -> None:
        if self.hand:
            number = self.draw.choice([1, 2, 3])
            self.hand.epoch(number, 1 if number < 3 else 2, number if number < 3 else 1)

    def finish(self) -> None:
        if self.hand:
            outcome = self.draw.choice(["succeeded", "preempted", "failed", "paused", "cancelled"])
            reason = {"reason": self.draw.choice(["bad_data", "exception", "exception"])} if outcome == "failed" else {}
            self.hand.finish(outcome, **reason)

    def lose(self) -> None:
        if self.hand and self.api.attempt(self.job_id)["state"] in states.HELD_ATTEMPTS:
            self.api.let_lease_run_out(self.hand.attempt_id)
            self.api.conduct()


HELD = {"starting": [], "running": ["training"], "stopping": ["stopping"]}
ENDINGS = ("succeeded", "preempted", "failed", "bad_data", "paused", "cancelled", "lost")


def end_held(api: Api, state: str, ending: str, recovering: bool) -> list[Change]:
    """The changes in the log, for an attempt that was held in this state and ended with this outcome."""
    hand = api.claim(api.submit()["id"])
    if recovering:
        hand.beat("training")
        hand.beat("stopping")
        hand.finish("preempted")
        hand = api.claim(hand.job_id, "w2")
    for phase in HELD[state]:
        hand.beat(phase)
    if ending == "lost":
        api.let_lease_run_out(hand.attempt_id)
        api.conduct()
    else:
        if ending in ("paused", "cancelled"):
            api.ask(hand.job_id, {"paused": "pause", "cancelled": "cancel"}[ending])
        reason = {"reason": "bad_data"} if ending == "bad_data" else {}
        assert hand.finish("failed" if ending == "bad_data" else ending, **reason).status_code == 200
    return check(api, hand.job_id).changes


def end_unclaimed(api: Api, wish: str, recovering: bool) -> list[Change]:
    """The changes in the log, for an attempt that was never claimed."""
    job_id = api.submit()["id"]
    if recovering:
        hand = api.claim(job_id)
        hand.beat("training")
        hand.finish("preempted")
    api.ask(job_id, wish)
    api.ask(job_id, "cancel")
    return check(api, job_id).changes


def retry(api: Api) -> list[Change]:
    job_id = api.submit()["id"]
    api.ask(job_id, "cancel")
    api.ask(job_id, "retry")
    hand = api.claim(job_id)
    hand.finish("failed", reason="bad_data")
    api.ask(job_id, "retry")
    return check(api, job_id).changes


def pause_and_resume(api: Api) -> list[Change]:
    job_id = api.submit()["id"]
    api.ask(job_id, "pause")
    api.ask(job_id, "resume")
    return check(api, job_id).changes


def lose_the_source(api: Api, *, paused: bool) -> list[Change]:
    source, _, latest = trained(api)
    job_id = start_from(api, source.job_id, set=longer())["id"]
    if paused:
        api.ask(job_id, "pause")
    api.services.store.delete(f"{latest}/manifest.json")
    api.conduct()
    return check(api, job_id).changes


def finish_a_stage(api: Api) -> list[Change]:
    hand = api.running()
    hand.epoch(1, 1, 1)
    hand.epoch(2, 1, 2)
    hand.epoch(3, 2, 1)
    return check(api, hand.job_id).changes


@pytest.mark.parametrize("seed", range(4))
def test_the_log_tells_the_rows(api: Api, seed: int) -> None:
    walk = Walk(api, random.Random(seed))
    for _ in range(STEPS):
        walk.step()
    assert walk.changes <= possible()


def possible() -> set[Change]:
    """All changes that the tables of states allow."""
    tables = {"job": states._JOB, "attempt": states._ATTEMPT}
    found: set[Change] = {("job", None, "queued"), ("attempt", None, "queued"), ("stage", None, "active")}
    found.add(("stage", "active", "succeeded"))
    for what, table in tables.items():
        found |= {(what, before, after) for moves in table.values() for before, after in moves.items()}
    return {(what, before, after) for what, before, after in found if before != after}


def test_every_transition_of_the_tables_is_told(api: Api) -> None:
    seen = {*pause_and_resume(api), *finish_a_stage(api), *retry(api)}
    seen |= {*lose_the_source(api, paused=False), *lose_the_source(api, paused=True)}
    for recovering in (False, True):
        for wish in ("pause", "cancel"):
            seen.update(end_unclaimed(api, wish, recovering))
        for state, ending in product(HELD, ENDINGS):
            seen.update(end_held(api, state, ending, recovering))
    assert sorted(map(str, possible() - seen)) == []
    assert sorted(map(str, seen - possible())) == []
