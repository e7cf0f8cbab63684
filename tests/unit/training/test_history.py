"""The history of a long job is serialised row by row, and equals the earlier format."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from baton.domain.history_table import COLUMNS
from baton.domain.manifest import CURSOR
from baton.domain.wire import BestMetric, ClassifierRow, Position
from baton.storage.directory import DirectoryStore
from worker.checkpointing.checkpoint_files import Writer, read_checkpoint, write_checkpoint
from worker.checkpointing.snapshot import Snapshot
from worker.training.state.cursor import BestEpoch, Cursor
from worker.training.state.history import History, history_writer

PREFIX, OWNER = "jobs/j/checkpoints/0000000007-1-0", Writer("j", "a", 1, {})


def row(epoch: int) -> ClassifierRow:
    return ClassifierRow(
        epoch=epoch,
        stage=1,
        stage_epoch=epoch,
        global_step=epoch,
        image_size=8,
        batch_size=8,
        learning_rate=0.1 / epoch,
        loss=1 / 3,
        accuracy=0.5,
        val_loss=1e-17,
        val_accuracy=0.5,
        attempt=1,
        seconds=0.1,
        images_per_second=100.0,
        finished_at=datetime.now(UTC),
    )


def plain(rows: list[ClassifierRow]) -> list[dict[str, object]]:
    return [one.model_dump(mode="json") for one in rows]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_was_taken_does_not_change_as_rows_are_added(tmp_path: Path, count: int) -> None:
    rows = [row(epoch) for epoch in range(1, count + 1)]
    history = History(rows)
    taken = history.taken()
    history.append(row(count + 1))
    assert json.loads(taken.json()) == plain(rows)
    history_writer(taken)(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert read == [{name: str(one[name]) for name in COLUMNS} for one in plain(rows)]
    assert (tmp_path / "history.csv").read_text().splitlines()[0] == ",".join(COLUMNS)


def snapshot(history: History | None, cursor: dict[str, Any]) -> Snapshot:
    position = Position(stage=0, epoch=0, step=7, global_step=7)
    taken = history.taken() if history is not None else None
    return Snapshot(position, {"x": np.arange(3)}, cursor, history=taken)


def test_a_checkpoint_keeps_the_format_of_its_cursor(tmp_path: Path) -> None:
    """A worker of an older release can read it, and this release reads what an older release wrote."""
    store, rows = DirectoryStore(tmp_path), [row(1), row(2)]
    best = BestEpoch(metric=BestMetric(metric="val_accuracy", value=0.5, stage=1, epoch=1), prefix=PREFIX)
    cursor = Cursor(History(rows), best, best)
    write_checkpoint(store, PREFIX, snapshot(cursor.history, cursor.dump({"rate": 0.1})), OWNER)
    written = json.loads(store.get(f"{PREFIX}/{CURSOR}"))
    shown = best.model_dump(mode="json")
    assert written == {
        "history": plain(rows), "schedule": {"rate": 0.1}, "best": shown, "stage_best": shown, "data": None,
        "evaluation_batches": {},
    }  # fmt: skip

    write_checkpoint(store, f"{PREFIX}1", snapshot(None, written), OWNER)
    for prefix in (PREFIX, f"{PREFIX}1"):
        read, schedule = Cursor.load(read_checkpoint(store, prefix)[0].cursor)
        assert (list(read.history), read.best, schedule) == (rows, best, {"rate": 0.1})


def test_a_history_alone_is_a_whole_cursor(tmp_path: Path) -> None:
    store, rows = DirectoryStore(tmp_path), [row(1)]
    write_checkpoint(store, PREFIX, snapshot(History(rows), {}), OWNER)
    assert read_checkpoint(store, PREFIX)[0].cursor == {"history": plain(rows)}
