"""Compiled steps on a processor: a resumed job compiles again, and its bits are equal without autotuning results."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from baton.domain.manifest import MANIFEST, Manifest
from baton.storage import open_store
from tests.resume.harness import Harness, Kill, Run
from tests.support.fault_points import Shot
from tests.support.jobs import Jobs

pytestmark = pytest.mark.timeout(900)  # two compilations in each test
SPEC: dict[str, Any] = {
    "name": "compiled",
    "network": {"name": "network-2", "width": 0.02, "dropout": 0.2},
    "dataset": {"name": "digits", "per_class": 20},
    "stages": [{"image_size": 8, "batch_size": 8, "epochs": 3, "steps_per_epoch": 2}],
    "checkpoint": {"every": "1 steps", "keep": 10},
    "retry": {"backoff": 0},
}
# Before a validation: the next process begins with that, so it compiles in another order.
KILL = Kill((Shot("validation", 2, "SIGTERM"),))


@pytest.fixture(scope="module")
def compiling(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """A stand whose workers compile."""
    return replace(harness, settings={"BATON_XLA": "on", "BATON_CACHE": str(tmp_path_factory.mktemp("cache"))})


@pytest.fixture(scope="module")
def stopped(compiling: Harness) -> Run:
    """A job in two processes."""
    return compiling.run(SPEC, [KILL])


def items(harness: Harness, run: Run, what: str) -> list[dict[str, Any]]:
    with harness.service.client() as http:
        return Jobs(http).items(run.job, what)


def test_a_processor_carries_nothing_and_says_nothing(compiling: Harness, stopped: Run) -> None:
    """XLA measures nothing on a processor: no results are needed, and no event may say that they lack."""
    store = open_store(compiling.service.store_url)
    rows = items(compiling, stopped, "checkpoints")
    manifests = [Manifest.model_validate_json(store.get(f"{row['prefix']}/{MANIFEST}")) for row in rows]
    assert {row["fence"] for row in rows} == {1, 2}
    assert [manifest.programs for manifest in manifests] == [None] * len(rows)
    kinds = {event["kind"] for event in items(compiling, stopped, "events")}
    assert kinds & {"restored", "resumed_inexactly", "exact_resume_not_promised"} == {"restored"}


def test_a_job_without_a_stop_has_the_same_bits(compiling: Harness, stopped: Run) -> None:
    assert stopped.fired == list(KILL.shots)
    assert compiling.ending(stopped).differences(compiling.ending(compiling.run(SPEC))) == []
