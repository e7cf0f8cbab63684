"""Rows of the history that waited when their checkpoint was written are recorded by the attempt that goes on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from core.domain.spec import parse_spec
from core.domain.wire import Phase, Progress
from core.storage import open_store
from tests.support.recorder import Recorder
from worker.checkpointing.files import read_checkpoint
from worker.control import Stop, Stopped, Workspace
from worker.training.session import train


@dataclass
class UntilStep(Recorder):
    """Stops at the first boundary of training at which the job has reached a step."""

    step: int = 0
    reached: bool = False

    def heard(self, phase: Phase, progress: Progress | None) -> None:
        at = 0 if progress is None else progress.global_step
        self.reached |= phase in (Phase.TRAINING, Phase.VALIDATING) and at >= self.step

    def stopping(self) -> Stop | None:
        return Stop.PREEMPTED if self.reached else None


# Four epochs of two steps: stopped within an epoch, and between two.
@pytest.mark.parametrize("step", [5, 6])
def test_rows_that_waited_are_recorded_again(tmp_path: Path, step: int) -> None:
    job = parse_spec(
        {
            "name": "x",
            "network": {"name": "network-2", "width": 0.02},
            "dataset": {"name": "digits", "per_class": 3},
            "stages": [{"image_size": 8, "batch_size": 8, "epochs": 4, "steps_per_epoch": 2}],
        }
    )
    workspace = Workspace(tmp_path / "cache", threads=1, processes=0)
    first = UntilStep(open_store(f"file://{tmp_path}/store"), step=step)
    with pytest.raises(Stopped):
        train(job, first, workspace, None)
    assert first.newest is not None
    snapshot = read_checkpoint(first.store, first.newest)[0]
    done = snapshot.position.epoch
    assert done >= 2
    for rows_from, expected in ((2, list(range(2, done + 1))), (None, [done] if snapshot.position.step == 0 else [])):
        again = UntilStep(first.store, attempt=2)
        with pytest.raises(Stopped):
            train(job, again, workspace, replace(snapshot, rows_from=rows_from))
        assert sorted(again.rows) == expected
        assert {epoch: again.rows[epoch] for epoch in expected} == {epoch: first.rows[epoch] for epoch in expected}
