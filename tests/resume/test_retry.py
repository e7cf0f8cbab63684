"""A job that failed because a disk was full is retried. Its result equals that of an uninterrupted run, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest

from baton import Client
from tests.resume.harness import Harness, Kill
from tests.support.fault_points import DISK_FULL, STORE_FULL, Shot
from tests.support.service import TOKEN

pytestmark = pytest.mark.process

SPEC: dict[str, Any] = {
    "name": "full",
    "network": {"name": "tiny-cnn", "width": 0.2, "dropout": 0.3},
    "dataset": {"name": "digits", "per_class": 10},
    "stages": [{"image_size": 8, "batch_size": 4, "epochs": 5, "steps_per_epoch": 4, "augmentation": "paper-1"}],
    "checkpoint": {"every": "3 steps"},
    "retry": {"max_failures": 0},
}
STEPS, FAILS_AT = 20, 16


def test_a_job_that_a_full_disk_ended_at_80_percent_goes_on_with_the_same_bits(harness: Harness) -> None:
    whole = harness.ending(harness.run(SPEC))
    run = harness.run(SPEC, [Kill((Shot("before a step", FAILS_AT + 1, DISK_FULL),), fault=STORE_FULL)])
    with Client(harness.service.url, TOKEN) as client:
        job = client.job(run.job)
        assert (job.status, job.reason) == ("failed", "too_many_failures")
        assert "No space left on device" in (job.message or "")
        assert job.retry().status == "queued"
        harness.go_on(run, ())
        attempts = client.attempts(run.job)
        assert [attempt.state for attempt in attempts] == ["failed", "succeeded"]
        assert 0 < (attempts[1].start_step or 0) <= FAILS_AT < STEPS
    assert whole.differences(harness.ending(run)) == []
