"""Several devices train one network together: virtual devices of the CPU, in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[3]
SECONDS = 240


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The results of tests.training.two_devices."""
    command = [sys.executable, "-m", "tests.training.two_devices"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_run_that_goes_on_elsewhere_has_the_same_bits(found: dict[str, Any]) -> None:
    assert found["resumed"] == found["whole"]


def test_every_device_holds_the_same_state(found: dict[str, Any]) -> None:
    assert found["unequal"] == []


def test_the_first_update_is_that_of_one_device_with_the_whole_batch(found: dict[str, Any]) -> None:
    """Batch normalisation differs, because each device normalises its own share. In this test all shares are equal."""
    assert found["one_device"] == pytest.approx(found["two_devices"], abs=1e-4)


def test_the_sums_are_of_all_images(found: dict[str, Any]) -> None:
    assert found["images"] == found["steps"] * found["batch"]


def test_devices_augment_differently(found: dict[str, Any]) -> None:
    first, second = found["seeds"]
    assert first != second


def test_a_batch_that_cannot_be_shared_names_its_field(found: dict[str, Any]) -> None:
    assert found["uneven"].startswith("stages.0.batch_size: 2 GPUs cannot share 5 images evenly")
