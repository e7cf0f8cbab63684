"""The second half of a job runs on another store, another service process or another training process: the results
are exact.
"""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from baton.storage import open_store
from tests.resume.final_states import Ending
from tests.resume.harness import LEASE, Harness, Kill, Run, running_stand
from tests.support.fault_points import Shot
from tests.support.jobs import Jobs
from tests.support.store_servers import store_server
from tests.support.zygote import Zygote

SPEC: dict[str, Any] = {
    "name": "moving",
    "network": {"name": "tiny-cnn", "width": 0.2, "dropout": 0.3},
    "dataset": {"name": "digits", "per_class": 20},
    "stages": [
        {"image_size": 8, "batch_size": 16, "epochs": 2, "steps_per_epoch": 5, "augmentation": "paper-1"},
        {
            "image_size": 8,
            "batch_size": 16,
            "epochs": 2,
            "steps_per_epoch": 4,
            "start_from": "best",
            "schedule": {"name": "reduce_on_plateau", "patience": 0},
        },
    ],
    "checkpoint": {"every": "2 steps"},
    "retry": {"backoff": 0},
}
# The stops are in the middle of the second epoch and in the second stage.
FIRST = Kill((Shot("before a step", 9, "SIGKILL"),))
SECOND = Kill((Shot("after entering a stage", 1, "SIGTERM"),))


@pytest.fixture(scope="module")
def whole(harness: Harness) -> Ending:
    return harness.ending(harness.run(SPEC))


def move(harness: Harness, store_url: str) -> None:
    """Stop the service, copy all objects, and start it with the other store and the same database."""
    assert harness.service.terminate() == 0
    source, target = open_store(harness.service.store_url), open_store(store_url)
    for blob in list(source.list("")):
        target.put(blob.name, source.get(blob.name))
        source.delete(blob.name)  # nothing may be read from the old store any more
    harness.service.store_url = store_url
    harness.service.settings = {**harness.service.settings, "BATON_STORE": store_url}
    harness.service.start()


def trained_in_two_halves(harness: Harness, second_store: str) -> Run:
    with harness.service.client() as http:
        run = Run(Jobs(http).submit(SPEC))
    harness.go_on(run, [FIRST], pause=True)
    move(harness, second_store)
    harness.go_on(run, [SECOND])
    assert run.fired == [*FIRST.shots, *SECOND.shots]
    return run


@pytest.mark.parametrize(("first", "second"), [("directory", "s3"), ("azure", "gcs")])
def test_moved_to_another_store_between_two_attempts(
    first: str, second: str, whole: Ending, zygote: Zygote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ExitStack() as stack:
        urls, environ = [], dict[str, str]()
        for kind in (first, second):
            if kind == "directory":
                urls.append((tmp_path / "store").as_uri())
                continue
            server = stack.enter_context(store_server(kind))
            urls.append(server.store_url("chaos"))
            environ |= server.environ
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        harness = stack.enter_context(running_stand(tmp_path, zygote, BATON_STORE=urls[0], **environ))
        harness.service.store_url = urls[0]
        run = trained_in_two_halves(harness, urls[1])
        assert whole.differences(harness.ending(run)) == []


def test_the_service_is_killed_and_started_again_while_a_process_trains(
    harness: Harness, zygote: Zygote, tmp_path: Path
) -> None:
    spec = {**SPEC, "stages": [{**stage, "steps_per_epoch": 40} for stage in SPEC["stages"]]}
    whole = harness.ending(harness.run(spec))
    # The lease is longer than the restart, so the same attempt continues.
    with running_stand(tmp_path, zygote, **{**LEASE, "BATON_LEASE_SECONDS": "60"}) as other:
        with other.service.client() as http:
            jobs = Jobs(http)
            run = Run(jobs.submit(spec))
            training = threading.Thread(target=other.go_on, args=(run, ()))
            training.start()
            jobs.await_step(run.job, 20)
        other.service.kill()
        other.service.start()
        training.join()
        assert run.attempts == 1
        assert whole.differences(other.ending(run)) == []
