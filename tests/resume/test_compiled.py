"""Compiled steps on a CPU: a resumed job compiles again, and its results are exact without autotuning results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from baton.domain.manifest import MANIFEST, Manifest
from baton.storage import open_store
from tests.resume.harness import Harness, Kill, Run
from tests.support.fault_points import Shot
from tests.support.jobs import Jobs

pytestmark = pytest.mark.timeout(900)  # each test compiles twice
SPEC: dict[str, Any] = {
    "name": "compiled",
    "network": {"name": "tiny-cnn", "width": 0.2, "dropout": 0.2},
    "dataset": {"name": "digits", "per_class": 20},
    "stages": [{"image_size": 8, "batch_size": 8, "epochs": 3, "steps_per_epoch": 2}],
    "checkpoint": {"every": "1 steps", "keep": 10},
    "retry": {"backoff": 0},
}
# Killed before a validation: the next process begins with the validation, so it compiles in another order.
KILL = Kill((Shot("validation", 2, "SIGTERM"),))


@pytest.fixture(scope="module")
def compiling(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """A harness whose workers compile."""
    return replace(harness, settings={"BATON_XLA": "on", "BATON_CACHE": str(tmp_path_factory.mktemp("cache"))})


@pytest.fixture(scope="module")
def stopped(compiling: Harness) -> Run:
    """A job that was trained by two processes."""
    return compiling.run(SPEC, [KILL])


def items(harness: Harness, run: Run, what: str) -> list[dict[str, Any]]:
    with harness.service.client() as http:
        return Jobs(http).items(run.job, what)


def test_a_processor_carries_nothing_and_says_nothing(compiling: Harness, stopped: Run) -> None:
    """On a CPU XLA does no autotuning: no results are needed, and no event may report that they are missing."""
    store = open_store(compiling.service.store_url)
    rows = items(compiling, stopped, "checkpoints")
    assert {row["fence"] for row in rows} == {1, 2}
    kept = [row for row in rows if row["state"] == "committed"]  # a job that succeeded keeps few
    manifests = [Manifest.model_validate_json(store.get(f"{row['prefix']}/{MANIFEST}")) for row in kept]
    assert [manifest.programs for manifest in manifests] == [None] * len(kept) != []
    kinds = {event["kind"] for event in items(compiling, stopped, "events")}
    assert kinds & {"restored", "resumed_inexactly", "exact_resume_not_promised"} == {"restored"}


def test_a_job_without_a_stop_has_the_same_bits(compiling: Harness, stopped: Run) -> None:
    assert stopped.fired == list(KILL.shots)
    assert compiling.ending(stopped).differences(compiling.ending(compiling.run(SPEC))) == []
