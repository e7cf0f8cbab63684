"""A resume on another kind of machine is allowed and reported."""

from __future__ import annotations

from dataclasses import replace

from baton.storage import open_store
from tests.support.attempts import queued_attempt, runner
from tests.support.fake_trainer import FakeTrainer
from tests.support.jobs import Jobs, tiny
from tests.support.service import ServiceProcess
from worker.preemption.notice import Notice

SPEC = tiny(stages=[{"image_size": 8, "batch_size": 1, "epochs": 1, "steps_per_epoch": 10}])


def resumed_with(service: ServiceProcess, jobs: Jobs, environment: dict[str, str]) -> list[str]:
    """The events about exactness, after the first half ran with 2 threads on OpenCV 4.14."""
    store, notice = open_store(service.store_url), Notice()
    job = jobs.submit(SPEC)
    first = runner(service, store, FakeTrainer(lambda step: notice.give("test") if step == 5 else None), notice)
    assert replace(first, environment={"threads": "2", "opencv": "4.14"}).run(queued_attempt(jobs, job))
    second = runner(service, store, FakeTrainer())
    assert replace(second, environment=environment).run(queued_attempt(jobs, job))
    assert jobs.show(job)["status"] == "succeeded"
    return [event["message"] for event in jobs.items(job, "events") if event["kind"] == "resumed_inexactly"]


def test_the_same_kind_of_machine_says_nothing(service: ServiceProcess, jobs: Jobs) -> None:
    assert resumed_with(service, jobs, {"threads": "2", "opencv": "4.14"}) == []


def test_what_differs_is_named(service: ServiceProcess, jobs: Jobs) -> None:
    (event_text,) = resumed_with(service, jobs, {"threads": "8", "opencv": "4.14", "gpu": "none"})
    assert event_text == "resumed inexactly: gpu absent -> none, threads 2 -> 8"
