"""The interface between runner and training loop. The loop knows no HTTP and no leases; the runner no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from baton.domain.downloads import Download
from baton.domain.goodput import Stopwatch
from baton.domain.spec import JobSpec
from baton.domain.views import AttemptView, JobView
from baton.domain.wire import BestMetric, CheckpointRole, EpochRow, Phase, Progress
from worker.checkpointing.snapshot import Snapshot

STEPS_AHEAD = 256
"""Steps whose small inputs are copied to a device at once. For 256 steps of 128 images each they take 300 kB."""


class Stop(StrEnum):
    """Why a training loop ends before its job is finished."""

    PREEMPTED = "preempted"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    MAX_RUNTIME = "max_runtime"


class Stopped(Exception):
    """Raised by a training loop that has ended at a step boundary, after it has queued its state."""


@dataclass(frozen=True)
class JobRecord:
    """The job and its attempts so far, from the service."""

    job: JobView
    attempts: tuple[AttemptView, ...]


class Control(Protocol):
    """What the training loop calls to report, to save, and to learn about stops."""

    @property
    def watch(self) -> Stopwatch:
        """Measures what the loop spends its time on."""
        ...

    def stopping(self) -> Stop | None:
        """Why to end at this step boundary; None to go on. Raises LeaseLost."""
        ...

    def tell(
        self,
        phase: Phase,
        progress: Progress | None = None,
        metrics: Mapping[str, float] | None = None,
        doing: str | None = None,
    ) -> None:
        """Sets the job's status. `doing`: the current activity in words, for example how far loading is."""
        ...

    def stands_at(self, global_step: int) -> None:
        """Sets the current step. A failed attempt reports it as the exact step of the failure."""
        ...

    def checkpoint_due(self, steps: int) -> bool:
        """Whether to save now, `steps` steps after the last save."""
        ...

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        ...

    def name_checkpoint(self, global_step: int) -> str:
        """The prefix of the next checkpoint, known before the save, so that its own cursor can contain it."""
        ...

    def save(self, prefix: str, snapshot: Snapshot, roles: frozenset[CheckpointRole]) -> None:
        """Queues a snapshot for saving."""
        ...

    def load(self, prefix: str) -> Snapshot:
        """A snapshot that was saved before. Raises CorruptCheckpoint, and Stopped if the attempt is to end first."""
        ...

    def epoch(self, row: EpochRow, best: BestMetric | None, stage_finished: bool) -> None:
        """Queues the history row of a finished epoch."""
        ...

    def publish(
        self, name: str, make: Callable[[Path], None], content_type: str, lost: Callable[[], None] = lambda: None
    ) -> None:
        """Queues a file for people. `make` writes it to a path, later and in another thread.

        `lost`: called in that thread if the file could not be written.
        """
        ...

    def note(self, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        """Adds an event to the job's log."""
        ...

    def job_record(self) -> JobRecord | None:
        """The job and its attempts; None if the service does not answer. Takes seconds: do not call it in the loop."""
        ...


@dataclass(frozen=True)
class Workspace:
    """The resources and settings of the machine. `threads`: of TensorFlow's operations. `processes`: for augmentation.

    `downloads`: sources of data sets by name; they replace the built-in sources. `reports`: whether to make reports, in
    a separate process. `xla`: whether steps are compiled: on, off or auto. `data_roots`: the directories that a spec's
    paths may be in; none: anywhere. `self_check`: whether the first step of a stage is taken twice and compared: on,
    off or auto. `steps_ahead`: the small inputs of this many steps are copied to the GPU at once.
    """

    cache: Path
    threads: int
    processes: int
    downloads: Mapping[str, Download] = field(default_factory=dict)
    reports: bool = False
    xla: str = "auto"
    data_roots: tuple[Path, ...] = ()
    self_check: str = "auto"
    steps_ahead: int = STEPS_AHEAD


class Trainer(Protocol):
    """Trains a job to its end, from a snapshot or from the beginning."""

    def __call__(
        self, spec: JobSpec, control: Control, workspace: Workspace, snapshot: Snapshot | None
    ) -> dict[str, float]:
        """The results of a finished job.

        Raises:
            Stopped: ended at a step boundary as `control.stopping()` asked.
            JobFailure: the job cannot go on; with the reason.
            LeaseLost: another worker may have the attempt.
        """
        ...
