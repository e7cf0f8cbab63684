"""A training loop ended anywhere and gone on with elsewhere ends with the same bits as one that never stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from baton.domain.spec import JobSpec
from tests.resume.in_process_run import Ending, assert_equal, run, spec

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["network-1", "network-2"])
def uninterrupted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[JobSpec, Ending]:
    job = spec(request.param)
    return job, run(job, tmp_path_factory.mktemp("whole") / "run")


def test_the_self_check_changes_no_bit(uninterrupted: tuple[JobSpec, Ending], tmp_path: Path) -> None:
    job, expected = uninterrupted
    stop = expected.asked // 2
    assert_equal(expected, run(job, tmp_path / "run", (stop,), self_check="on"))


def test_the_run_is_whole(uninterrupted: tuple[JobSpec, Ending]) -> None:
    _, ending = uninterrupted
    assert [row["epoch"] for row in ending.history] == [1, 2, 3, 4]
    assert [row["global_step"] for row in ending.history] == [5, 10, 14, 18]
    assert {"val_accuracy", "test_accuracy", "val_top5", "test_top5"} <= ending.results.keys()
    assert all(np.isfinite(a).all() for a in ending.arrays.values())


@pytest.mark.parametrize("share", [(0.0,), (0.2, 0.1), (0.45,), (0.6, 0.3), (0.97,)])
def test_stopped_anywhere_the_bits_are_the_same(
    uninterrupted: tuple[JobSpec, Ending], share: tuple[float, ...], tmp_path: Path
) -> None:
    job, whole = uninterrupted
    stops = tuple(1 + int(part * (whole.asked - 2)) for part in share)
    assert_equal(whole, run(job, tmp_path / "run", stops))
