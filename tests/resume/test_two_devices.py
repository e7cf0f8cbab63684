"""A job on two devices with XLA that is killed twice ends exactly like an uninterrupted run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.resume.harness import Harness, Kill
from tests.support.fault_points import Shot
from tests.support.zygote import DEVICES

pytestmark = pytest.mark.slow

# Compilation takes most of the time here, so optimisation is off. Both runs use the same flags, so they are comparable.
QUICK_XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
FLIPS = {"order": "random", "augmenters": [{"name": "fliplr", "p": 0.5}, {"name": "flipud", "p": 0.5}]}
# Both points are always reached: every job commits a checkpoint and reaches its end.
KILLS = (
    Kill((Shot("after the commit", 1, "SIGKILL"),)),  # of the first checkpoint, usually in the first stage
    Kill((Shot("before the end", 1, "SIGKILL"),)),  # after the last step
)


# Both stages have the same image size, so each process compiles only one step.
STAGE: dict[str, Any] = {"image_size": 8, "batch_size": 8, "epochs": 1, "steps_per_epoch": 3, "augmentation": FLIPS}
CYCLIC = {"name": "cyclic", "base_lr": 1e-4, "max_lr": 1e-2, "step_size": 2}
SPEC: dict[str, Any] = {
    "name": "two-devices",
    "network": {"name": "tiny-cnn", "width": 0.2, "dropout": 0.2},
    "dataset": {"name": "digits", "per_class": 20},
    "augmentation_engine": "device",
    "stages": [STAGE, {**STAGE, "schedule": CYCLIC}],
    "checkpoint": {"every": "1 steps"},
    "retry": {"backoff": 0},
}
"""The devices select and augment the images, in a random order for each batch."""


@pytest.fixture(scope="module")
def two_devices(harness: Harness, tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """A harness whose workers train on two virtual devices and compile with XLA."""
    cache = str(tmp_path_factory.mktemp("cache"))
    return replace(harness, settings={"BATON_XLA": "on", "BATON_CACHE": cache, DEVICES: "2", "XLA_FLAGS": QUICK_XLA})


@pytest.mark.timeout(600)
def test_killed_twice_the_bits_are_those_of_an_uninterrupted_run(two_devices: Harness) -> None:
    whole = two_devices.ending(two_devices.run(SPEC))
    run = two_devices.run(SPEC, KILLS)
    assert run.fired == [shot for kill in KILLS for shot in kill.shots]
    assert whole.differences(two_devices.ending(run)) == []
    assert whole.stages == [("succeeded", 1), ("succeeded", 1)]
