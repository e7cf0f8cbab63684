"""Rows of the history that were not sent when their checkpoint was written are recorded by the attempt that resumes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from baton.domain.spec import parse_spec
from baton.domain.wire import BestMetric, Phase, Progress
from baton.storage import open_store
from tests.support.recorder import Recorder
from worker.attempt.protocols import Stop, Stopped, Workspace
from worker.checkpointing.checkpoint_files import read_checkpoint
from worker.checkpointing.snapshot import Snapshot
from worker.training import loop
from worker.training.loop import train
from worker.training.state.cursor import Cursor


@dataclass
class UntilStep(Recorder):
    """Stops at the first boundary after the job has reported this step in this phase."""

    phase: Phase = Phase.TRAINING
    step: int = 0
    reached: bool = False

    def heard(self, phase: Phase, progress: Progress | None) -> None:
        self.reached |= phase is self.phase and progress is not None and progress.global_step >= self.step

    def stopping(self) -> Stop | None:
        return Stop.PREEMPTED if self.reached else None


def snapshot_best(snapshot: Snapshot) -> BestMetric | None:
    best = Cursor.load(snapshot.cursor)[0].best
    return best.metric if best else None


# The job has four epochs of two steps. It stops during the validation of the third epoch, or in the fourth epoch.
@pytest.mark.parametrize(("phase", "step", "ended"), [(Phase.VALIDATING, 6, 2), (Phase.TRAINING, 7, 3)])
def test_rows_that_waited_are_recorded_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: Phase, step: int, ended: int
) -> None:
    monkeypatch.setattr(loop, "REPORT_SECONDS", -1.0)  # report each step: the test stops at a step
    job = parse_spec(
        {
            "name": "x",
            "network": {"name": "tiny-cnn", "width": 0.2},
            "dataset": {"name": "digits", "per_class": 3},
            "stages": [{"image_size": 8, "batch_size": 8, "epochs": 4, "steps_per_epoch": 2}],
        }
    )
    workspace = Workspace(tmp_path / "cache", threads=1, processes=0)
    first = UntilStep(open_store(f"file://{tmp_path}/store"), phase=phase, step=step)
    with pytest.raises(Stopped):
        train(job, first, workspace, None)
    assert first.newest is not None
    snapshot = read_checkpoint(first.store, first.newest)[0]
    assert sorted(first.rows) == list(range(1, ended + 1))
    again = UntilStep(first.store, attempt=2, phase=phase, step=step)
    with pytest.raises(Stopped):
        train(job, again, workspace, replace(snapshot, rows_from=2))
    assert {epoch: again.rows[epoch] for epoch in range(2, ended + 1)} == {
        epoch: first.rows[epoch] for epoch in range(2, ended + 1)
    }
    assert 1 not in again.rows
    assert again.rolled_back == (snapshot.position.global_step, ended, snapshot_best(snapshot))
    assert first.rolled_back == (-1, 0, None)
