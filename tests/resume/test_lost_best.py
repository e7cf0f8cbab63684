"""A best model whose file could not be written is written at the end of the job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from baton.domain.spec import parse_spec
from baton.storage import open_store
from tests.support.recorder import Recorder
from worker.attempt.protocols import Workspace
from worker.training.loop import train

BEST = "best.keras"


@dataclass
class FullDisk(Recorder):
    """The first write of each file fails."""

    tries: list[str] = field(default_factory=list)

    def publish(
        self, name: str, make: Callable[[Path], None], content_type: str, lost: Callable[[], None] = lambda: None
    ) -> None:
        self.tries.append(name)
        if self.tries.count(name) == 1:
            lost()
        else:
            super().publish(name, make, content_type, lost)


def test_a_best_model_that_was_lost_is_written_at_the_end(tmp_path: Path) -> None:
    stage = {"image_size": 8, "batch_size": 8, "epochs": 1, "steps_per_epoch": 2}
    job = {
        "name": "x",
        "network": {"name": "tiny-cnn", "width": 0.2},
        "dataset": {"name": "digits", "per_class": 3},
        "stages": [stage],
    }
    control = FullDisk(open_store(f"file://{tmp_path}/store"))
    train(parse_spec(job), control, Workspace(tmp_path / "cache", threads=1, processes=0), None)
    assert control.tries.count(BEST) == 2
    control.files[BEST](tmp_path / BEST)
    assert (tmp_path / BEST).stat().st_size > 0
