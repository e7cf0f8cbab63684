"""The interface between runner and training loop. The loop uses neither HTTP nor leases, the runner no TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol, TypeVar

from baton.domain.data_sources import NO_SOURCES, DataSources
from baton.domain.downloads import Download
from baton.domain.goodput import Stopwatch
from baton.domain.views import AttemptView, JobView
from baton.domain.wire import BestMetric, CheckpointRole, EpochRow, Phase, Progress
from baton.storage import ObjectAccess
from worker.checkpointing.series_buffer import Point
from worker.checkpointing.snapshot import Snapshot

_T = TypeVar("_T")
STEPS_AHEAD = 256
"""Number of steps whose small inputs are copied to a device together. For 256 steps of 128 images they take 300 kB."""


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
    """The methods that the training loop calls to report, to save, and to check for stops."""

    @property
    def watch(self) -> Stopwatch:
        """Measures how much time the loop spends on each activity."""
        ...

    def stopping(self) -> Stop | None:
        """The reason to stop at this step boundary, or None to continue. Raises LeaseLost."""
        ...

    def tell(
        self,
        phase: Phase,
        progress: Progress | None = None,
        metrics: Mapping[str, float] | None = None,
        doing: str | None = None,
    ) -> None:
        """Sets the job's status. `doing`: the current activity in words, for example the progress of loading."""
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

    @property
    def store(self) -> ObjectAccess:
        """The store of the job, to read the pushed data that the spec names. Everything else goes through `save`."""
        ...

    def roll_back(self, after_step: int, after_epoch: int, best: BestMetric | None) -> None:
        """Deletes the points of series after this step, and the rows of the history after this epoch.

        Called once, before the first row: earlier attempts may have sent more than the restored checkpoint contains.
        `after_step`: -1 deletes all points. `after_epoch`: 0 deletes all rows. `best`: the best epoch up to there.
        Raises LeaseLost and Stopped.
        """
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
        """Queues a file for users. `make` writes it to a path, later and in another thread.

        `lost`: called in that thread if the file could not be written.
        """
        ...

    def note(self, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        """Adds an event to the job's log."""
        ...

    def job_record(self) -> JobRecord | None:
        """The job and its attempts; None if the service does not answer. Takes seconds: do not call it in the loop."""
        ...


class ProgramControl(Control, Protocol):
    """Further methods, for the process that runs a program."""

    @property
    def job_id(self) -> str:
        """The id of the job."""
        ...

    def wanted_stop(self) -> Stop | None:
        """As `stopping`, at any time between two step boundaries. Raises LeaseLost."""
        ...

    def save(
        self,
        prefix: str,
        snapshot: Snapshot,
        roles: frozenset[CheckpointRole],
        *,
        stall: float | None = None,
        last_point: int | None = None,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """Queues a snapshot for saving. See AttemptContext.save."""
        ...

    def series(self, points: Sequence[Point], *, now: bool = False) -> None:
        """Queues points of series."""
        ...

    def publish(
        self,
        name: str,
        make: Callable[[Path], None],
        content_type: str,
        lost: Callable[[], None] = lambda: None,
        *,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """Queues a file for users. See AttemptContext.publish."""
        ...

    def seconds_to_save(self, stop: Stop) -> float | None:
        """Seconds within which the last save must be made; None: no limit."""
        ...

    def raise_if_stopping(self) -> None:
        """Raises Stopped when asked to stop, and LeaseLost."""
        ...

    def retry(self, what: str, call: Callable[[], _T], seconds: float | None = None) -> _T:
        """The result of a call to the store, with retries. Raises LeaseLost and Stopped meanwhile."""
        ...


@dataclass(frozen=True)
class Workspace:
    """The resources and settings of the machine. `threads`: number of threads for TensorFlow's operations.
    `processes`: number of processes for augmentation.

    `downloads`: sources of data sets by name; they replace the built-in sources. `reports`: whether to make reports, in
    a separate process. `xla`: whether steps are compiled: on, off or auto. `data_roots`: the directories that a spec's
    paths may be in; none: anywhere. `self_check`: whether the first step of a stage is taken twice and compared: on,
    off or auto. `steps_ahead`: the small inputs of this many steps are copied to the GPU together. `data_sources`: the
    URL prefixes that a spec's path may have. `cache_bytes`: bytes that fetched data may take in the cache; 0: a share
    of the free space. `scratch`: the folder of the one attempt of a process that runs a program; None elsewhere.
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
    data_sources: DataSources = NO_SOURCES
    cache_bytes: int = 0
    scratch: Path | None = None


class Trainer(Protocol):
    """Trains a job to its end, from a snapshot or from the beginning. `spec`: of the kind that this trainer trains."""

    def __call__(self, spec: Any, control: Any, workspace: Workspace, snapshot: Snapshot | None) -> dict[str, float]:
        """The results of a finished job. `control`: a ProgramControl.

        Raises:
            Stopped: ended at a step boundary, because `control.stopping()` returned a stop.
            JobFailure: the job cannot continue; it has the reason.
            LeaseLost: another worker may have the attempt.
        """
        ...
