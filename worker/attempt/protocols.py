"""What a training loop may ask and tell. The loop knows neither HTTP nor leases; the runner knows no TensorFlow."""

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
    """Why a training loop ends before its job does."""

    PREEMPTED = "preempted"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    MAX_RUNTIME = "max_runtime"


class Stopped(Exception):
    """Raised by a training loop that has ended at a step boundary, its state handed over."""


@dataclass(frozen=True)
class JobRecord:
    """How the job fared so far, as the service tells it."""

    job: JobView
    attempts: tuple[AttemptView, ...]


class Control(Protocol):
    """The training loop's line to the outside."""

    @property
    def watch(self) -> Stopwatch:
        """Where the loop says what it spends its time on."""
        ...

    def stopping(self) -> Stop | None:
        """Whether to end at this step boundary. Raises LeaseLost."""
        ...

    def tell(
        self,
        phase: Phase,
        progress: Progress | None = None,
        metrics: Mapping[str, float] | None = None,
        doing: str | None = None,
    ) -> None:
        """What is going on, for whoever polls the job. `doing`: the same in words, such as how far loading is."""
        ...

    def stands_at(self, global_step: int) -> None:
        """Where the loop is, told however it ends: the exact step of a failure."""
        ...

    def checkpoint_due(self, steps: int) -> bool:
        """Whether to save now, `steps` after the last save."""
        ...

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        ...

    def name_checkpoint(self, global_step: int) -> str:
        """The prefix for the next checkpoint, known before it is saved, so that its own cursor can point at it."""
        ...

    def save(self, prefix: str, snapshot: Snapshot, roles: frozenset[CheckpointRole]) -> None:
        """Hands a snapshot over for saving."""
        ...

    def load(self, prefix: str) -> Snapshot:
        """A snapshot saved before. Raises CorruptCheckpoint, and Stopped if the attempt is to end before it is read."""
        ...

    def epoch(self, row: EpochRow, best: BestMetric | None, stage_finished: bool) -> None:
        """Hands over a finished epoch."""
        ...

    def publish(
        self, name: str, make: Callable[[Path], None], content_type: str, lost: Callable[[], None] = lambda: None
    ) -> None:
        """Hands over a file for people; `make` writes it to a path, later and in another thread.

        `lost`: called in that thread if the file could not be written.
        """
        ...

    def note(self, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        """Adds an event to the job's log."""
        ...

    def job_record(self) -> JobRecord | None:
        """The job and its attempts; None where the service does not answer. Takes seconds: not for the loop itself."""
        ...


@dataclass(frozen=True)
class Workspace:
    """What the machine offers. `threads` of TensorFlow's operations; `processes` for augmentation.

    `downloads`: where data sets come from, by name, instead of their known sources.
    `reports`: whether to make reports, in a process of their own. `xla`: whether steps are compiled: on, off or auto.
    `data_roots`: the directories that a spec's paths may lie in; none: anywhere. `self_check`: whether the first step
    of a stage is taken twice and compared: on, off or auto. `steps_ahead`: of so
    many steps the small inputs are copied to the GPU at once.
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
    """Trains a job from a snapshot, or from the beginning, to its end."""

    def __call__(
        self, spec: JobSpec, control: Control, workspace: Workspace, snapshot: Snapshot | None
    ) -> dict[str, float]:
        """The results of a finished job.

        Raises:
            Stopped: ended at a step boundary as `control.stopping()` asked.
            JobFailure: cannot go on, with the reason.
            LeaseLost: the attempt is another's.
        """
        ...
