"""The totals of a job's ended attempts are stored on the job. At any moment they equal the sums over the rows."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import event, select, update

from baton.domain.goodput import Life, job_seconds
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit
from service.usecases import attempt_totals, goodput
from tests.service.clock import MovedClock
from tests.service.helpers import ON_BOTH, Api, WorkerHand

pytestmark = ON_BOTH

STEPS = 40
OUTCOMES = ("preempted", "failed", "paused")


class Story:
    """A job whose attempts end in all possible ways. A seed draws the events and their times, to the millisecond."""

    def __init__(self, api: Api, clock: MovedClock, seed: int) -> None:
        self._api, self._clock, self._draw = api, clock, random.Random(seed)
        retry = {"max_failures": 1000, "max_attempts_without_progress": 1000, "backoff": 0}
        self.job_id = api.submit(retry=retry)["id"]
        self._hand: WorkerHand | None = None
        self._step = 0

    def go_on(self) -> None:
        """Advance the clock, then let one random event happen."""
        self._clock.forward(round(self._draw.uniform(0.001, 500), 3))
        if self._hand is None:
            self._without_worker()
        else:
            self._draw.choice([self._beat, self._beat, self._save, self._save, self._spoil, self._end])(self._hand)

    def _without_worker(self) -> None:
        again = {"paused": "resume", "failed": "retry", "cancelled": "retry"}.get(self._api.job(self.job_id)["status"])
        if again:
            assert self._api.ask(self.job_id, again).status_code == 202
        elif self._draw.random() < 0.2:
            assert self._api.ask(self.job_id, self._draw.choice(["pause", "cancel"])).status_code == 202
        else:
            self._hand = self._api.claim(self.job_id)

    def _beat(self, hand: WorkerHand) -> None:
        told = {name: self._draw.uniform(0, 200) for name in ("startup", "training", "validation", "unheard_of")}
        assert hand.beat(self._draw.choice(["loading", "training"]), seconds=told).status_code == 200

    def _save(self, hand: WorkerHand) -> None:
        self._step += 1
        trained = self._draw.uniform(0, 200)
        assert hand.checkpoint(self._step, trained_seconds=trained).status_code == 201

    def _spoil(self, hand: WorkerHand) -> None:
        there = [row for row in self._api.items(self.job_id, "checkpoints") if row["state"] == "committed"]
        if there:
            bad = hand.post("quarantine", prefix=self._draw.choice(there)["prefix"], message="bad")
            assert bad.status_code == 200

    def _end(self, hand: WorkerHand) -> None:
        self._hand = None
        outcome = self._draw.choice([*OUTCOMES, "lost"])
        if outcome == "lost":
            self._api.let_lease_run_out(hand.attempt_id)
            self._api.conduct()
            return
        if outcome == "paused":
            self._api.ask(self.job_id, "pause")
        seconds = {"training": self._draw.uniform(0, 300)}
        more = {"reason": self._draw.choice(["process_died", "bad_data"])} if outcome == "failed" else {}
        assert hand.finish(outcome, seconds=seconds, **more).status_code == 200


def stored(api: Api, job_id: str) -> tuple[Any, Any]:
    with api.services.database.read() as session:
        spent, held = session.execute(select(Job.spent, Job.held_seconds).where(Job.id == job_id)).one()
        return spent, held


def listed(api: Api) -> tuple[dict[str, Any], int]:
    """The job as the list shows it, and the number of attempts that were read for it.

    The list is read because a response about a single job may be a second old.
    """
    loaded: list[object] = []

    def load(row: Attempt, _context: object) -> None:
        loaded.append(row)

    event.listen(Attempt, "load", load)
    found = dict(api.http.get("/v1/jobs").json()["items"][0])
    event.remove(Attempt, "load", load)
    return found, len(loaded)


def recounted(api: Api, job_id: str) -> tuple[Any, Any]:
    with api.services.database.write() as session:
        unit = Unit(session)
        attempt_totals.recount(unit, unit.lock_job(job_id))
    return stored(api, job_id)


def goodput_of_rows(api: Api, job_id: str, clock: MovedClock) -> dict[str, float]:
    """The goodput, computed again from all attempts."""
    with api.services.database.read() as session:
        job = Unit(session).find_job(job_id)
        spans = [goodput.span(row) for row in session.scalars(select(Attempt).where(Attempt.job_id == job_id))]
        life = Life(job.created_at, job.finished_at, job.paused_seconds, job.paused_at)
        return job_seconds(life, spans, clock.now)


@pytest.mark.parametrize("seed", [1, 2])
def test_after_random_events_the_totals_equal_those_of_the_rows(api: Api, clock: MovedClock, seed: int) -> None:
    story = Story(api, clock, seed)
    for _ in range(STEPS):
        story.go_on()
        kept = stored(api, story.job_id)
        retries = kept[0].get("before_retry")
        shown, attempts_read = listed(api)
        assert attempts_read == 1
        assert shown["goodput"] == pytest.approx(goodput_of_rows(api, story.job_id, clock), abs=2e-3)
        again = recounted(api, story.job_id)
        assert kept[0].pop("seconds") == pytest.approx(again[0].pop("seconds"), abs=1e-6)
        assert kept[0] == again[0]
        assert kept[1] == pytest.approx(again[1], abs=1e-6)
    assert kept[0]["attempts"] > 5
    assert kept[0]["interruptions"] > 2
    assert retries["attempts"] > 1


def test_an_older_service_ended_attempts_and_the_totals_come_from_the_rows(api: Api, clock: MovedClock) -> None:
    story = Story(api, clock, 4)
    for _ in range(STEPS):
        story.go_on()
    expected = stored(api, story.job_id)
    expected[0].pop("before_retry", None)  # an older service does not know it and drops it
    shown = listed(api)[0]["goodput"]
    # An older service leaves no totals for a job that it ran, and too small totals for a job that both versions ran.
    for spent, held in ((None, None), ({"attempts": 1, "interruptions": 0, "seconds": {"training": 1.0}}, 7.0)):
        with api.services.database.write() as session:
            session.execute(update(Job).values(spent=spent, held_seconds=held))
        assert listed(api)[0]["goodput"] == pytest.approx(shown, abs=2e-3)
    with api.services.database.write() as session:
        session.execute(update(Job).values(spent=None, held_seconds=None))
    api.conduct()
    assert stored(api, story.job_id) == expected


def test_the_time_between_interruptions_comes_from_the_totals(api: Api, clock: MovedClock) -> None:
    job_id = api.submit()["id"]
    for _ in range(3):
        hand = api.claim(job_id)
        clock.forward(600)
        hand.checkpoint(hand.fence)
        assert hand.finish("preempted").status_code == 200
    assert api.claim(job_id).grant["seconds_between_interruptions"] == (3 * 600 + 3600) / (3 + 1)
