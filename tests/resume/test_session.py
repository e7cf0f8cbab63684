"""A training loop that stops anywhere and resumes in another process ends exactly like one that never stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baton.domain.spec import JobSpec
from tests.resume.in_process_run import Ending, assert_equal, run, spec

pytestmark = pytest.mark.slow
SHARES = (0.0, 0.1, 0.25, 0.3, 0.3)
"""An attempt is stopped after this share of the steps of the whole run: at the start, twice in the first stage, in the
second stage, and shortly before the end.
"""
SHARES_OF = {"network-1": (0.3,), "network-2": (0.6,), "tiny-cnn": SHARES}
"""Each attempt traces the network again, which takes most of the time of Baton's networks."""


@pytest.fixture(scope="module", params=list(SHARES_OF))
def uninterrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[JobSpec, Ending]:
    job = spec(request.param)
    return job, run(job, tmp_path_factory.mktemp("whole") / "run")


def test_the_run_is_whole(uninterrupted: tuple[JobSpec, Ending]) -> None:
    _, ending = uninterrupted
    assert [row["epoch"] for row in ending.history] == [1, 2, 3, 4]
    assert [row["global_step"] for row in ending.history] == [5, 10, 14, 18]
    assert {"val_accuracy", "test_accuracy", "val_top5", "test_top5"} <= ending.results.keys()
    assert all(np.isfinite(a).all() for a in ending.arrays.values())


def test_stopped_anywhere_with_a_self_check_the_bits_are_the_same(
    uninterrupted: tuple[JobSpec, Ending], tmp_path: Path
) -> None:
    job, whole = uninterrupted
    stops = tuple(1 + int(share * (whole.asked - 2)) for share in SHARES_OF[job.network.name])
    assert_equal(whole, run(job, tmp_path / "run", stops, self_check="on"))
