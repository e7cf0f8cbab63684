"""The status that heartbeats report, and the status when heartbeats are late.

It is current, in order, and never older than the history.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from service.db.tables import Job
from tests.service.clock import MovedClock
from tests.service.helpers import ON_BOTH, ON_SQLITE, Api, WorkerHand
from tests.service.progress import PROGRESS

pytestmark = ON_BOTH


def at(epoch: int, step: int, **more: Any) -> dict[str, Any]:
    return {**PROGRESS, "epoch": epoch, "step": step, "global_step": 10 * (epoch - 1) + step, **more}


def pace(job: dict[str, Any]) -> tuple[Any, Any]:
    return job["progress"]["images_per_second"], job["progress"]["eta_seconds"]


def attempt(api: Api, hand: WorkerHand) -> dict[str, Any]:
    return api.items(hand.job_id, "attempts")[0]


def test_a_late_heartbeat_shows_without_a_new_version(api: Api, clock: MovedClock) -> None:
    hand = api.running()
    hand.beat("training", progress=PROGRESS)
    heard = api.http.get(f"/v1/jobs/{hand.job_id}")
    version = heard.json()["version"]
    assert (heard.json()["silent_seconds"], pace(heard.json())) == (None, (12.5, 3.0))
    assert heard.json()["beat_at"] == attempt(api, hand)["beat_at"] is not None
    tag = {"If-None-Match": heard.headers["etag"]}
    clock.to(14)
    api.services.statuses._kept.clear()
    assert api.http.get(f"/v1/jobs/{hand.job_id}", headers=tag).status_code == 304
    clock.to(18)
    api.services.statuses._kept.clear()
    answer = api.http.get(f"/v1/jobs/{hand.job_id}", headers=tag)
    assert (answer.status_code, answer.headers["etag"]) == (200, f'W/"{version}-silent"')
    job = answer.json()
    assert (job["version"], job["status"], job["silent_seconds"]) == (version, "running", 18)
    assert job["lease_expires_at"] > job["as_of"] > job["beat_at"]
    assert pace(job) == (None, None)
    assert attempt(api, hand)["silent_seconds"] == 18
    assert api.http.get("/v1/jobs").json()["items"][0]["silent_seconds"] == 18
    hand.beat("training", progress=PROGRESS)
    again = api.job(hand.job_id)
    assert (again["silent_seconds"], pace(again)) == (None, (12.5, 3.0))
    assert attempt(api, hand)["silent_seconds"] is None


def test_no_worker_is_silent_because_of_an_outage_of_the_service(api: Api, clock: MovedClock) -> None:
    """The lease was renewed when the service returned.

    The worker is not silent until it has had time for a heartbeat.
    """
    hand = api.running()
    clock.to(300)
    api.set_attempt(hand.attempt_id, lease_expires_at=clock.now + timedelta(seconds=25))
    assert (api.job(hand.job_id)["silent_seconds"], attempt(api, hand)["silent_seconds"]) == (None, None)
    clock.to(312)
    api.services.statuses._kept.clear()
    assert api.job(hand.job_id)["silent_seconds"] == 17


def test_a_long_poll_ends_when_the_worker_falls_silent(start: Callable[..., Api]) -> None:
    api = start(heartbeat_seconds=0.2, lease_seconds=30)
    hand = api.running()
    job = api.job(hand.job_id)
    url = f"/v1/jobs/{hand.job_id}?wait=60&version={job['version']}"
    with ThreadPoolExecutor() as pool:  # the poll itself would last 60 s
        waiting = pool.submit(api.http.get, url)
        silent = waiting.result(45).json()
        assert (silent["version"], silent["silent_seconds"] >= 0.3) == (job["version"], True)
        # Nothing more happens except a heartbeat.
        waiting = pool.submit(api.http.get, url)
        hand.beat("training")
        assert waiting.result(45).json()["version"] > job["version"]


def paused(api: Api, hand: WorkerHand) -> None:
    api.ask(hand.job_id, "pause")
    hand.finish("paused")


def stopping(api: Api, hand: WorkerHand) -> None:
    hand.beat("stopping")


def recovering(api: Api, hand: WorkerHand) -> None:
    hand.finish("preempted")


def claimed_again(api: Api, hand: WorkerHand) -> None:
    hand.finish("preempted")
    api.claim(hand.job_id, "w2").beat("restoring")


def queued(api: Api, hand: WorkerHand) -> None:
    paused(api, hand)
    api.ask(hand.job_id, "resume")


def succeeded(api: Api, hand: WorkerHand) -> None:
    hand.finish("succeeded")


@pytest.mark.parametrize("happens", [paused, stopping, recovering, claimed_again, queued, succeeded])
def test_speed_and_time_left_are_of_a_worker_that_trains_now(
    api: Api, happens: Callable[[Api, WorkerHand], None]
) -> None:
    hand = api.running()
    hand.beat("training", progress=PROGRESS)
    happens(api, hand)
    job = api.job(hand.job_id)
    assert (pace(job), job["progress"]["step"]) == ((None, None), 5)
    if happens is not stopping and happens is not claimed_again:
        assert (job["beat_at"], job["silent_seconds"], job["lease_expires_at"]) == (None, None, None)


def test_metrics_are_those_of_the_newest_row_whatever_heartbeats_bring(api: Api) -> None:
    hand = api.running()
    hand.beat("training", progress=at(1, 9), metrics={"loss": 9.0})
    assert api.job(hand.job_id)["metrics"] == {}
    hand.epoch(1, 1, 1)
    hand.epoch(2, 1, 2)
    for metrics in ({"loss": 1.0}, {}, {"val_loss": 7.0}):
        hand.beat("training", progress=at(3, 1), metrics=metrics)
        job = api.job(hand.job_id)
        newest = api.items(hand.job_id, "history")[-1]
        assert {name: newest[name] for name in job["metrics"]} == job["metrics"]
        assert (job["metrics"]["loss"], job["progress"]["metrics"]) == (0.5, metrics)
    # An epoch that is sent late, sent again, or trained again by another attempt does not replace the newest row.
    hand.epoch(1, 1, 1)
    hand.finish("preempted")
    api.claim(hand.job_id, "w2").epoch(1, 1, 1, row={"loss": 99.0})
    assert api.job(hand.job_id)["metrics"]["loss"] == 0.5


def test_progress_never_goes_back_within_an_attempt(api: Api) -> None:
    hand = api.running()
    hand.beat("training", progress=at(2, 5))
    hand.beat("training", progress=at(2, 4))
    hand.beat("training", progress=at(1, 9))
    assert api.job(hand.job_id)["progress"]["global_step"] == 15
    hand.beat("training", progress=at(2, 6))
    hand.finish("preempted")
    successor = api.claim(hand.job_id, "w2")
    assert api.job(hand.job_id)["progress"]["global_step"] == 16
    successor.beat("training", progress=at(1, 2))  # the attempt restored the checkpoint of that step
    assert api.job(hand.job_id)["progress"]["global_step"] == 2


def test_a_heartbeat_that_was_overtaken_only_renews_the_lease(api: Api) -> None:
    hand = api.running()
    hand.beat("validating", progress=at(2, 5), seconds={"startup": 1.0, "training": 20.0})
    before = api.attempt(hand.job_id)
    hand.beat("loading", progress=at(2, 5), seconds={"startup": 3.0}, doing="loading")
    after, job = api.attempt(hand.job_id), api.job(hand.job_id)
    assert (job["phase"], job["message"]) == ("validating", None)
    assert after["lease_expires_at"] > before["lease_expires_at"]


@pytest.mark.parametrize("stored", [{"odd": 1}, {**PROGRESS, "epoch": "x", "attempt": 1}, {"attempt": 1}])
@ON_SQLITE
def test_a_heartbeat_is_taken_whatever_the_row_holds(api: Api, stored: dict[str, Any]) -> None:
    hand = api.running()
    with api.services.database.write() as session:
        session.execute(update(Job).values(progress=stored))
    api.set_attempt(hand.attempt_id, seconds={"training": "many", "startup": None})
    assert hand.beat("training", progress=at(1, 2), seconds={"training": 1.0}).status_code == 200
    assert api.job(hand.job_id)["progress"]["step"] == 2
