"""Answers of the service to users. Service, client and dashboard share these models."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import Field

from baton.domain.errors import FieldError
from baton.domain.lineage import JobSource
from baton.domain.open_enums import (
    ShownAttemptState,
    ShownCheckpointState,
    ShownEvent,
    ShownPhase,
    ShownPriority,
    ShownReason,
    ShownRole,
    ShownStageState,
    ShownStatus,
    ShownWorkerState,
)
from baton.domain.projects import DEFAULT
from baton.domain.scalars import Real
from baton.domain.wire import BestMetric, EpochRow, Message, Progress

_T = TypeVar("_T")


class Listing(Message, Generic[_T]):
    """A list, or a page of it. `next_cursor`: the `cursor` of the next page; None: there is none."""

    items: list[_T]
    next_cursor: str | None = None


class ProgressView(Progress):
    """The progress that the worker reported last. It does not decrease within an attempt. A new attempt resumes from
    a checkpoint.

    `fraction`: the share of all steps that is done, 0 to 1; 0 if `total_steps` is 0. `images_per_second` and
    `eta_seconds` are None unless a worker is training and its heartbeats arrive. `metrics`: reported with the progress,
    usually not yet recorded.
    """

    fraction: float
    metrics: dict[str, Real] = Field(default_factory=dict)


class CheckpointStatus(Message):
    """The newest committed checkpoint, and the cadence of saving. Times in seconds.

    `interval_seconds`: time between two saves, from the spec or computed by `auto`. `save_seconds`: time of the
    background write. `stall_seconds`: how long training waited for the save. `age_seconds`: at the time of this answer,
    or at the job's end. `overdue`: the job trains, and the checkpoint is older than max(3 x interval, 60 s).
    """

    global_step: int
    committed_at: datetime
    interval_seconds: float | None = None
    save_seconds: float | None = None
    stall_seconds: float | None = None
    age_seconds: float = 0.0
    overdue: bool = False


class JobSummary(Message):
    """A job without its spec, as lists show it. `version` grows with each change of the job, and not with time alone.

    `metrics`: the metrics of the last finished epoch, the newest row of the history; empty before the first.
    `beat_at`: the last heartbeat of the worker that holds the job; None if no worker holds it. `silent_seconds`: the
    age of that heartbeat if the next one is late (1.5 intervals), otherwise None; it appears and grows without a new
    version. `lease_expires_at`: when another worker gets the job if no heartbeat arrives. `as_of`: the service's time
    of this answer; use it to compute ages.
    `goodput`: seconds by bucket (baton.domain.goodput.Bucket), their `total`, and the productive share as `goodput`.
    `events`: the number of events in its log, which is also the sequence number of the newest.
    `retries`: how often a user retried it after it had failed or was cancelled.
    `waiting_for`: why no worker trains a job that should run; it may change without a new version.
    `source`: the job that it was made from; None: from none.
    `notes`: free text of its owners. `protected`: retention does not delete it. `owner`: the name of the token that
    submitted it, `user` for BATON_TOKEN; None if an older service received it. `project`: the project that it is in.
    `gpu_hours`: hours of GPUs in all attempts; an hour on a worker with two counts as two. `cost`: what all attempts
    cost, as text with six decimals, in `currency`; None if the service has no prices. Both grow without a new version.
    """

    id: str
    name: str
    status: ShownStatus
    reason: ShownReason | None
    message: str | None
    version: int
    queue: str
    priority: ShownPriority
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    labels: dict[str, str]
    progress: ProgressView | None
    metrics: dict[str, float]
    results: dict[str, float]
    best: BestMetric | None
    attempts: int
    preemptions: int
    failures: int
    checkpoint: CheckpointStatus | None
    worker: str | None
    phase: ShownPhase | None
    goodput: dict[str, float]
    waiting_for: str | None = None
    events: int = 0
    beat_at: datetime | None = None
    silent_seconds: float | None = None
    lease_expires_at: datetime | None = None
    as_of: datetime | None = None
    retries: int = 0
    source: JobSource | None = None
    notes: str | None = None
    protected: bool = False
    owner: str | None = None
    project: str = DEFAULT
    gpu_hours: float = 0.0
    cost: str | None = None
    currency: str | None = None


class JobView(JobSummary):
    """A job as a user sees it: its summary and its spec."""

    spec: dict[str, Any]


class JobPage(Message):
    """A page of jobs. `next_cursor` is None on the last page. Another page may have fewer jobs than asked for."""

    items: list[JobView]
    next_cursor: str | None


class JobSummaryPage(Message):
    """A page of jobs without their specs, as `JobPage`."""

    items: list[JobSummary]
    next_cursor: str | None


class StageView(Message):
    """A stage of a job and its progress. `stage` counts from 1."""

    stage: int
    name: str
    state: ShownStageState
    epochs: int
    epochs_done: int
    image_size: int
    batch_size: int
    started_at: datetime | None
    finished_at: datetime | None


class AttemptView(Message):
    """A worker's hold on a job. `attempt` counts from 1. `started_at`: start of training. `seconds`: by bucket.

    `beat_at`: the last heartbeat while the attempt is held. `silent_seconds`: its age if the next one is late.
    `device`: of its worker. `gpu_hours`: hours times the number of GPUs. `cost`: text with six decimals, by the price
    at the claim; None if the device had no price.
    """

    id: str
    attempt: int
    state: ShownAttemptState
    fence: int
    worker: str | None
    reason: ShownReason | None
    message: str | None
    created_at: datetime
    claimed_at: datetime | None
    finished_at: datetime | None
    lease_expires_at: datetime | None
    start_step: int | None
    end_step: int | None
    started_at: datetime | None = None
    seconds: dict[str, float] = Field(default_factory=dict)
    device: str | None = None
    gpu_hours: float = 0.0
    cost: str | None = None
    beat_at: datetime | None = None
    silent_seconds: float | None = None
    job_id: str | None = None


class CurveView(Message):
    """One metric of a job by epoch, thinned out. `points`: (epoch, value) in order; the newest is always included."""

    job_id: str
    points: list[tuple[int, Real]]


class CheckpointView(Message):
    """A committed checkpoint. `bytes`: size of the payload. `seconds`: time of the background write. `stall_seconds`:
    how long training waited for the save. `roles`: the pointers that name it now.
    """

    id: str
    prefix: str
    global_step: int
    stage: int
    epoch: int
    step: int
    fence: int
    roles: list[ShownRole]
    state: ShownCheckpointState
    bytes: int
    seconds: float
    committed_at: datetime
    stall_seconds: float = 0.0


class EventView(Message):
    """One line of a job's log. `sequence` counts from 1 without a gap."""

    sequence: int
    at: datetime
    kind: ShownEvent
    actor: str
    message: str
    data: dict[str, Any]


class EventPage(Message):
    """A page of a job's log. `next_cursor`: the `cursor` of the next page; None: no more events yet. `next_after`: the
    same as a value of `after`, if the oldest come first.
    """

    items: list[EventView]
    next_after: int | None = None
    next_cursor: str | None = None


class FeedEvent(EventView):
    """An event among those of all jobs. `number`: its place in the feed; it grows, with gaps."""

    number: int
    job_id: str
    job_name: str


class FeedPage(Message):
    """A page of the events of all jobs. `next_cursor` is None on the last page."""

    items: list[FeedEvent]
    next_cursor: str | None


class ArtifactView(Message):
    """A file of a job. `size` in bytes. `url`: the path of its download, below the service's address."""

    name: str
    size: int
    crc32c: str
    content_type: str
    committed_at: datetime
    url: str


class WorkerView(Message):
    """A worker as it was last seen. `state`: idle, busy, refused, resting, lost or ended.

    `job_id`, `job_name` and `attempt`: what it holds now. `since`: when this process first registered. `ended_at`: when
    it reported its end. `refusal`: why the service gives it no work, and what to set. `rests_until`: it takes no work
    until then. `rests_why`: the crashes that caused this. `protocol` and `spec_version`: the versions of
    baton.domain.protocol_versions that it knows.
    """

    name: str
    host: str
    pid: int
    version: str
    device: str
    queues: list[str]
    extensions: list[str]
    state: ShownWorkerState
    job_id: str | None
    last_seen_at: datetime
    job_name: str | None = None
    attempt: int | None = None
    since: datetime | None = None
    ended_at: datetime | None = None
    refusal: str | None = None
    rests_until: datetime | None = None
    rests_why: str | None = None
    protocol: int = 1
    spec_version: int = 1


class QueueView(Message):
    """How many workers a queue could use.

    `waiting`: attempts that may start now. `held`: attempts that workers hold. `wanted`: the sum of both. Attempts that
    wait for a backoff or a concurrency limit are not counted: another worker would not help them.
    """

    queue: str
    waiting: int
    held: int
    wanted: int


class ProblemView(Message):
    """RFC 9457 problem details. `errors`: the wrong fields of a spec. `request_id`: find it in the service's log."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[FieldError] = Field(default_factory=list)
    request_id: str | None = None


class History(Message):
    """The recorded epochs, or a page of them. `next_cursor` is None on the last page."""

    items: list[EpochRow]
    next_cursor: str | None = None
