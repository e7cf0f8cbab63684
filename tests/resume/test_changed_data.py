"""A training loop that resumes finds other data: it trains no step and evaluates nothing on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from baton.domain.errors import JobFailure
from baton.domain.spec import parse_spec
from baton.domain.wire import Phase, Progress
from baton.storage import open_store
from tests.support.recorder import Recorder
from tests.unit.training.pictures import image_folder
from worker.attempt.protocols import Stop, Stopped, Workspace
from worker.checkpointing.checkpoint_files import read_checkpoint
from worker.training.loop import train


@dataclass
class UntilEvaluation(Recorder):
    """Stops when all steps are trained and saved."""

    evaluates: bool = False

    def heard(self, phase: Phase, progress: Progress | None) -> None:
        self.evaluates |= phase is Phase.EVALUATING

    def stopping(self) -> Stop | None:
        return Stop.PREEMPTED if self.evaluates else None


def test_classes_swapped_after_the_last_step_are_not_evaluated(tmp_path: Path) -> None:
    root = image_folder(tmp_path / "images", classes=("ant", "bee"))
    job = parse_spec(
        {
            "name": "x",
            "network": {"name": "tiny-cnn", "width": 0.2},
            "dataset": {"name": "image-folder", "path": str(root)},
            "stages": [{"image_size": 8, "batch_size": 8, "epochs": 1}],
        }
    )
    workspace = Workspace(tmp_path / "cache", threads=1, processes=0)
    first = UntilEvaluation(open_store(f"file://{tmp_path}/store"))
    with pytest.raises(Stopped):
        train(job, first, workspace, None)
    assert first.newest is not None
    snapshot = read_checkpoint(first.store, first.newest)[0]

    (root / "ant").rename(root / "x")
    (root / "bee").rename(root / "ant")
    (root / "x").rename(root / "bee")
    second = Recorder(first.store, attempt=2)
    with pytest.raises(JobFailure, match="ant -> bee, bee -> ant") as caught:
        train(job, second, workspace, snapshot)
    assert caught.value.reason == "data_changed"
    assert (second.newest, second.files, second.rows) == (None, {}, {})

    (root / "ant").rename(root / "x")
    (root / "bee").rename(root / "ant")
    (root / "x").rename(root / "bee")
    results = train(job, Recorder(first.store, attempt=3), workspace, snapshot)
    assert "test_accuracy" in results
