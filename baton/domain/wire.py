"""The messages between worker and service. Every write carries the fencing token `fence` of its attempt."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictBool

from baton.domain.artifact_names import ARTIFACT_NAME
from baton.domain.epochs import CLOCK_COLUMNS, BestMetric, ClassifierRow, EpochRow
from baton.domain.extensions import Extensions
from baton.domain.message_base import OPEN, Message, Phase, Position, Progress, Version
from baton.domain.note_limits import checked_data
from baton.domain.protocol_versions import FIRST, known
from baton.domain.reasons import Reason
from baton.domain.scalars import (
    Buckets,
    Count,
    Crc32c,
    Duration,
    Name,
    Numbers,
    ObjectName,
    QueueName,
    Shown,
    Text,
)
from baton.domain.service_events import SERVICE_EVENTS
from baton.domain.start_from import Start
from baton.domain.store_identity import StoreGrant, StoreRef, Trouble
from baton.domain.validation import NUMBER

__all__ = (
    "CLOCK_COLUMNS", "TRAINS", "ArtifactCommit", "Beat", "BestMetric", "CheckpointCommit", "CheckpointRef",
    "CheckpointRole", "Claim", "ClassifierRow", "Directive", "EpochRecord", "EpochRow", "Fenced", "Finish", "Grant",
    "GrantHead", "Heartbeat", "Message", "NextRequest", "Note", "Offer", "Outcome", "Phase", "Position", "Progress",
    "Quarantine", "Rest", "WorkerInfo", "WorkerReport",
)  # fmt: skip


TRAINS = frozenset({Phase.TRAINING, Phase.VALIDATING, Phase.EVALUATING})
"""In these phases an attempt is running. Before the first of them the attempt is starting."""


class WorkerInfo(Message):
    """The worker that claims. `protocol`, `spec_version`: the versions of baton.domain.protocol_versions that it knows.

    `store`: the store that it uses; None from a worker that takes the store of the grant, and from a release that does
    not report it. `problem`: why it takes
    no work for another reason than its store, such as a GPU that it cannot use.
    """

    name: Annotated[str, Field(min_length=1, max_length=200), Shown]
    host: Annotated[str, Field(max_length=255), Shown]
    pid: Count
    version: Annotated[str, Field(max_length=50), Shown]
    device: Annotated[str, Field(max_length=200), Shown] = "cpu"
    extensions: Extensions = ()
    store: StoreRef | None = None
    problem: Annotated[str, Field(max_length=2000), Shown] | None = None
    protocol: Version = FIRST
    spec_version: Version = FIRST


class Rest(Message):
    """A worker takes no work for `seconds` because attempts crashed on it. `why`: the number and kind of crashes."""

    seconds: Duration
    why: Annotated[str, Field(max_length=200), Shown]


class WorkerReport(WorkerInfo):
    """Reports that a worker is alive. `ended`: the worker ends now and holds no attempt; this is its last report.

    `rest`: set while it takes no work after crashes. None otherwise, and from a release that does not report it.
    """

    queues: Annotated[tuple[Annotated[str, Field(max_length=200), Shown], ...], Field(max_length=50)] = ()
    busy: StrictBool = False
    ended: StrictBool = False
    rest: Rest | None = None


class NextRequest(Message):
    """Asks for work over HTTP. The service answers as soon as an attempt in one of the queues may start, or after
    `wait_seconds`.
    """

    worker: WorkerInfo
    queues: Annotated[tuple[QueueName, ...], Field(min_length=1, max_length=50)] = ("default",)
    wait_seconds: Annotated[float, Field(ge=0, le=30, allow_inf_nan=False), NUMBER] = 0.0


class Offer(Message):
    """A hint, like a message in Redis: the claim decides who gets the attempt. None: there is no work now."""

    attempt_id: str | None


class Claim(Message):
    """Asks for an attempt. Each claim has a new random `claim_id`, so it can be repeated if the answer was lost."""

    claim_id: str = Field(min_length=8, max_length=64)
    worker: WorkerInfo


class CheckpointRef(Message):
    """A committed checkpoint and its place in the store."""

    id: str
    prefix: ObjectName
    manifest_crc32c: Crc32c
    position: Position
    fence: int


class Grant(Message):
    """The answer to a claim: everything that a worker needs. `checkpoints`: newest first.

    `token`: authorizes the calls of this attempt while it is held; an older service sends none. `protocol`: the
    service's version. `spec`: without the fields that only the service needs. `runtime_left`: seconds until the job
    reaches `limits.max_runtime` or `limits.budget`; None without a limit. `store`: where the attempt's objects are; an
    older service sends none. `start`: set if the job starts from another job, as long as one of `checkpoints` is a
    copy.
    """

    attempt_id: str
    job_id: str
    attempt: int
    fence: int
    lease_seconds: float
    heartbeat_seconds: float
    spec: dict[str, Any]
    checkpoints: tuple[CheckpointRef, ...]
    seconds_between_interruptions: float
    runtime_left: float | None = None
    token: str | None = Field(default=None, repr=False)
    store: StoreGrant | None = None
    start: Start | None = None
    protocol: Version = FIRST


class GrantHead(Message):
    """The part that every grant has in all versions: enough to give the attempt back."""

    attempt_id: str
    fence: int
    token: str | None = Field(default=None, repr=False)
    protocol: Version = FIRST


class Fenced(Message):
    """A write of a worker. The service answers 409 `lease-lost` if `fence` is not the attempt's fencing token."""

    fence: Count


class Heartbeat(Fenced):
    """Renews the lease. `interval_seconds`: the current checkpoint interval; None: not known yet.

    `doing`: details of the phase as text, if there are any, such as the progress of loading. `trouble`: a current
    failure that is retried.
    """

    phase: Annotated[Phase | Name, OPEN]
    progress: Progress | None = None
    metrics: Numbers = Field(default_factory=dict)
    seconds: Buckets = Field(default_factory=dict)
    interval_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False), NUMBER] | None = None
    doing: Annotated[str, Field(max_length=500), Shown] | None = None
    trouble: Trouble | None = None


class Directive(StrEnum):
    """What the owner of the job wants of the worker."""

    CONTINUE = "continue"
    PAUSE = "pause"
    CANCEL = "cancel"


class Beat(Message):
    """The answer to a heartbeat. `protocol`: the service's version. A worker ignores an unknown directive."""

    directive: Annotated[Directive | Name, OPEN]
    lease_seconds: float
    protocol: Version = FIRST


class CheckpointRole(StrEnum):
    """The pointers that a commit moves to the new checkpoint."""

    LATEST = "latest"
    STAGE_BEST = "stage_best"
    BEST = "best"


def _known_roles(roles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(role for role in roles if known(CheckpointRole, role))


class CheckpointCommit(Fenced):
    """Commits a checkpoint. `needs`: prefixes of other checkpoints that are required to resume from this one.

    Unknown `roles` are ignored.

    `seconds`: time to write it in the background. `stall_seconds`: time that the training loop waited for it.
    `trained_seconds`: training time of this attempt that it contains.
    """

    prefix: ObjectName
    manifest_crc32c: Crc32c
    position: Position
    bytes: Count
    seconds: Duration
    roles: Annotated[
        tuple[Annotated[CheckpointRole | Name, OPEN], ...], Field(max_length=50), AfterValidator(_known_roles)
    ]
    needs: Annotated[tuple[ObjectName, ...], Field(max_length=100)] = ()
    stall_seconds: Duration = 0.0
    trained_seconds: Duration = 0.0


class EpochRecord(Fenced):
    """Records a finished epoch. A second record of the same epoch replaces the first."""

    row: EpochRow
    best: BestMetric | None = None
    stage_finished: StrictBool = False


class ArtifactCommit(Fenced):
    """Points the artifact `name` at an immutable object; the service publishes it under its plain name."""

    name: str = Field(pattern=ARTIFACT_NAME)
    object: ObjectName
    size: Count
    crc32c: Crc32c
    content_type: str = Field(max_length=100)


def _no_service_event(kind: str) -> str:
    if kind in SERVICE_EVENTS:
        raise ValueError("is reserved for events of the service")
    return kind


class Note(Fenced):
    """An event that a worker adds to the job's log."""

    kind: Annotated[
        str,
        Field(pattern=r"^[a-z][a-z_]{0,49}$", json_schema_extra={"not": {"enum": sorted(SERVICE_EVENTS)}}),
        AfterValidator(_no_service_event),
    ]
    message: Text
    data: Annotated[dict[str, Any], AfterValidator(checked_data)] = Field(default_factory=dict)


class Quarantine(Fenced):
    """Marks an unreadable checkpoint. No grant contains it again.

    `missing`: the store holds no manifest of it (False: the bytes are damaged); None from a worker that does not
    report it.
    """

    prefix: ObjectName
    message: Text
    missing: StrictBool | None = None


class Outcome(StrEnum):
    """How a worker's hold on a job ended."""

    SUCCEEDED = "succeeded"
    PREEMPTED = "preempted"
    FAILED = "failed"
    PAUSED = "paused"
    CANCELLED = "cancelled"


class Finish(Fenced):
    """Ends an attempt. A repeated message gets the same answer. `phase`: the phase in which it ended.

    An outcome or a reason that only a newer worker knows counts as a failure of the worker, not of the job.

    `at_step`: the exact global step at which a run failed. `fault`: what failed where; equal in every process that
    fails in the same way. Both are None if unknown.
    """

    outcome: Annotated[Outcome | Name, OPEN]
    reason: Annotated[Reason | Name, OPEN] | None = None
    message: Text = ""
    results: Numbers = Field(default_factory=dict)
    progress: Progress | None = None
    seconds: Buckets = Field(default_factory=dict)
    phase: Annotated[Phase | Name, OPEN] | None = None
    at_step: Count | None = None
    fault: Annotated[str, Field(max_length=500), Shown] | None = None
