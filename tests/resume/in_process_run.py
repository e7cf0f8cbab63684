"""Runs the attempts of one job in this process, stops them at chosen steps, and compares how two runs end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baton.domain.spec import JobSpec, parse_spec
from baton.domain.wire import CLOCK_COLUMNS, EpochRow
from baton.storage import open_store
from tests.support.recorder import Recorder
from worker.attempt.protocols import Stopped, Workspace
from worker.checkpointing.checkpoint_files import read_checkpoint
from worker.checkpointing.snapshot import Arrays
from worker.training.loop import train


def spec(network: str = "tiny-cnn") -> JobSpec:
    return parse_spec(
        {
            "name": "exact",
            "network": {"name": network, "width": 0.02 if network != "tiny-cnn" else 0.2, "dropout": 0.25},
            "dataset": {"name": "digits", "per_class": 30},
            "optimizer": {"name": "adam", "learning_rate": 3e-3},
            "stages": [
                {
                    "image_size": 8,
                    "batch_size": 16,
                    "epochs": 2,
                    "steps_per_epoch": 5,
                    "augmentation": "paper-1",
                    "schedule": {"name": "reduce_on_plateau", "patience": 0, "factor": 0.5},
                },
                {
                    "image_size": 16,
                    "batch_size": 16,
                    "epochs": 2,
                    "steps_per_epoch": 4,
                    "start_from": "best",
                    "schedule": {"name": "cyclic", "base_lr": 1e-4, "max_lr": 1e-2, "step_size": 3},
                },
            ],
            "checkpoint": {"every": "3 steps"},
        }
    )


@dataclass(frozen=True)
class Ending:
    """What two runs must have in common."""

    arrays: Arrays
    history: list[dict[str, Any]]
    results: dict[str, float]
    evaluation: bytes
    asked: int


def run(
    job: JobSpec,
    folder: Path,
    stops: tuple[int, ...] = (),
    notes: list[tuple[str, str]] | None = None,
    self_check: str = "auto",
) -> Ending:
    """Run the job with a stop at each of `stops`.

    `notes` collects kinds and messages of events; None: no event is allowed.
    """
    store = open_store(f"file://{folder}/store")
    workspace = Workspace(folder.parent / "cache", threads=2, processes=0, self_check=self_check)
    rows: dict[int, EpochRow] = {}
    newest: str | None = None
    for attempt, stop_at in enumerate([*stops, None], start=1):
        control = Recorder(store, stop_at, attempt, newest=newest, rows=rows, notes=notes)
        snapshot = read_checkpoint(store, newest)[0] if newest else None
        try:
            results = train(job, control, workspace, snapshot)
        except Stopped:
            newest = control.newest
            if control.stood_at is not None:  # the attempt was stopped in the loop, not while it loaded
                assert newest is not None
                assert control.stood_at == read_checkpoint(store, newest)[0].position.global_step
            continue
        return ending(control, results, folder)
    raise AssertionError("the last attempt ends the job")


def ending(control: Recorder, results: dict[str, float], folder: Path) -> Ending:
    """What a finished run left with its last attempt's control."""
    assert control.newest is not None
    final = read_checkpoint(control.store, control.newest)[0]
    rows = control.rows
    history = [rows[e].model_dump(exclude=set(CLOCK_COLUMNS)) for e in sorted(rows)]
    control.files["evaluation.json"](folder / "evaluation.json")
    return Ending(final.arrays, history, results, (folder / "evaluation.json").read_bytes(), control.asked)


def assert_equal(one: Ending, other: Ending) -> None:
    assert one.history == other.history
    assert one.results == other.results
    assert one.evaluation == other.evaluation
    assert one.arrays.keys() == other.arrays.keys()
    different = [n for n, a in one.arrays.items() if a.tobytes() != other.arrays[n].tobytes()]
    assert not different
