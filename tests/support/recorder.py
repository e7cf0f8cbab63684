"""A control for training loops that run in the test's own process, without a service."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from baton.domain.goodput import Stopwatch
from baton.domain.wire import BestMetric, CheckpointRole, EpochRow, Phase, Progress
from baton.storage import BlobStore
from worker.attempt.protocols import JobRecord, Stop
from worker.checkpointing.checkpoint_files import Writer, read_checkpoint, write_checkpoint
from worker.checkpointing.snapshot import Snapshot

OWNER = Writer("j", "a", 1, {})


class Listener:
    """The part of a control that receives reports of phase and progress. A test may override `heard` to check them."""

    def tell(
        self,
        phase: Phase,
        progress: Progress | None = None,
        metrics: Mapping[str, float] | None = None,
        doing: str | None = None,
    ) -> None:
        self.heard(phase, progress)

    def heard(self, phase: Phase, progress: Progress | None) -> None:
        pass


@dataclass
class Recorder(Listener):
    """A control that stops the training at the `stop_at`-th check, and writes checkpoints and files to a real store."""

    store: BlobStore
    stop_at: int | None = None
    attempt: int = 1
    asked: int = 0
    newest: str | None = None
    rows: dict[int, EpochRow] = field(default_factory=dict)
    files: dict[str, Callable[[Path], None]] = field(default_factory=dict)
    numbers: Any = field(default_factory=count)
    watch: Stopwatch = field(default_factory=lambda: Stopwatch(time.monotonic))
    stood_at: int | None = None
    best: BestMetric | None = None
    rolled_back: tuple[int, int, BestMetric | None] | None = None
    notes: list[tuple[str, str]] | None = None
    """Kinds and messages of the recorded events. None: no event may be recorded."""

    def stopping(self) -> Stop | None:
        self.asked += 1
        return Stop.PREEMPTED if self.asked == self.stop_at else None

    def heard(self, phase: Phase, progress: Progress | None) -> None:
        assert progress is None or progress.global_step <= progress.total_steps

    def stands_at(self, global_step: int) -> None:
        self.stood_at = global_step

    def checkpoint_due(self, steps: int) -> bool:
        return steps >= 3

    def roll_back(self, after_step: int, after_epoch: int, best: BestMetric | None) -> None:
        self.rolled_back = (after_step, after_epoch, best)

    def name_checkpoint(self, global_step: int) -> str:
        return f"jobs/j/checkpoints/{global_step:010d}-{self.attempt}-{next(self.numbers)}"

    def save(self, prefix: str, snapshot: Snapshot, roles: frozenset[CheckpointRole]) -> None:
        write_checkpoint(self.store, prefix, snapshot, OWNER)
        self.newest = prefix

    def load(self, prefix: str) -> Snapshot:
        return read_checkpoint(self.store, prefix)[0]

    def epoch(self, row: EpochRow, best: BestMetric | None, stage_finished: bool) -> None:
        self.rows[row.epoch] = row
        self.best = best

    def publish(
        self, name: str, make: Callable[[Path], None], content_type: str, lost: Callable[[], None] = lambda: None
    ) -> None:
        self.files[name] = make

    def note(self, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        if self.notes is None:
            raise AssertionError(message)
        self.notes.append((kind, message))

    def job_record(self) -> JobRecord | None:
        return None
