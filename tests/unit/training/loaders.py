"""A loader of a small data set, and the events that it reports."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from baton.domain.data_identity import DataRecord
from baton.domain.goodput import Stopwatch
from baton.domain.spec import JobSpec, parse_spec
from baton.domain.wire import Position
from baton.storage import BlobStore
from tests.support.recorder import Listener
from worker.attempt.protocols import Workspace
from worker.checkpointing.snapshot import Snapshot
from worker.training.input.loading import Loader
from worker.training.state.cursor import Cursor


class Control(Listener):
    """Records the notes. `store`: holds pushed data."""

    store: BlobStore

    def __init__(self) -> None:
        self.watch = Stopwatch(time.monotonic)
        self.notes: list[tuple[str, str]] = []

    def note(self, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        self.notes.append((kind, message))


def spec(root: Path, classes: int | None = None, **dataset: Any) -> JobSpec:
    network = {"name": "network-2", **({"classes": classes} if classes else {})}
    data = {"name": "image-folder", "path": str(root), **dataset}
    return parse_spec({"name": "x", "network": network, "dataset": data, "stages": [{"epochs": 1}]})


def loader(of: JobSpec, cache: Path, record: DataRecord | None = None, control: Control | None = None) -> Loader:
    snapshot = None
    if record is not None:
        cursor = Cursor().dump({}, record)
        snapshot = Snapshot(Position(stage=0, epoch=0, step=3, global_step=3), {}, cursor)
    return Loader(of, control or Control(), Workspace(cache, 1, 0), snapshot)  # type: ignore[arg-type]  # what it asks
