"""The table of states and events. Every state change of a job, a stage or an attempt goes through it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from baton.domain.errors import TransitionError


class JobState(StrEnum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    RECOVERING = "recovering"
    PAUSED = "paused"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DesiredState(StrEnum):
    """What the owner of a job wants it to do."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class JobEvent(StrEnum):
    """What can happen to a job."""

    CLAIMED = "claimed"
    STARTED = "started"
    INTERRUPTED = "interrupted"
    PAUSED = "paused"
    RESUMED = "resumed"
    CANCELLED = "cancelled"
    FAILED = "failed"
    FINISHED = "finished"
    RETRIED = "retried"


class StageState(StrEnum):
    """The state of a stage."""

    WAITING = "waiting"
    ACTIVE = "active"
    SUCCEEDED = "succeeded"


class StageEvent(StrEnum):
    """What can happen to a stage."""

    STARTED = "started"
    FINISHED = "finished"


class AttemptState(StrEnum):
    """The state of an attempt, which is one worker's hold on a job."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    PREEMPTED = "preempted"
    LOST = "lost"
    FAILED = "failed"
    PAUSED = "paused"
    CANCELLED = "cancelled"


class AttemptEvent(StrEnum):
    """What can happen to an attempt."""

    CLAIMED = "claimed"
    STARTED = "started"
    STOPPING = "stopping"
    FINISHED = "finished"
    PREEMPTED = "preempted"
    LEASE_EXPIRED = "lease_expired"
    FAILED = "failed"
    PAUSED = "paused"
    CANCELLED = "cancelled"


class CheckpointState(StrEnum):
    """The state of a checkpoint after its commit."""

    COMMITTED = "committed"
    QUARANTINED = "quarantined"
    DELETED = "deleted"


class WorkerState(StrEnum):
    """The state of a worker."""

    BUSY = "busy"
    IDLE = "idle"
    REFUSED = "refused"
    RESTING = "resting"
    LOST = "lost"
    ENDED = "ended"


_S = TypeVar("_S", bound=StrEnum)
_E = TypeVar("_E", bound=StrEnum)
_J, _JE = JobState, JobEvent


def _all_to(target: _S, *sources: _S) -> dict[_S, _S]:
    return dict.fromkeys(sources, target)


_JOB = {
    # A job that lost its worker is recovering until another worker trains: a worker that only claimed it may be lost.
    _JE.CLAIMED: {_J.QUEUED: _J.RUNNING, _J.RECOVERING: _J.RECOVERING},
    _JE.STARTED: {_J.RUNNING: _J.RUNNING, _J.RECOVERING: _J.RUNNING},
    _JE.INTERRUPTED: _all_to(_J.RECOVERING, _J.RUNNING, _J.RECOVERING),
    _JE.PAUSED: _all_to(_J.PAUSED, _J.QUEUED, _J.RECOVERING, _J.RUNNING),
    _JE.RESUMED: _all_to(_J.QUEUED, _J.PAUSED),
    _JE.CANCELLED: _all_to(_J.CANCELLED, _J.QUEUED, _J.RECOVERING, _J.RUNNING, _J.PAUSED),
    # Before an attempt, a job fails if the checkpoint that it starts from cannot be copied.
    _JE.FAILED: _all_to(_J.FAILED, _J.QUEUED, _J.RUNNING, _J.RECOVERING, _J.PAUSED),
    _JE.FINISHED: _all_to(_J.SUCCEEDED, _J.RUNNING, _J.RECOVERING),
    _JE.RETRIED: _all_to(_J.QUEUED, _J.FAILED, _J.CANCELLED),
}
_STAGE = {
    StageEvent.STARTED: {StageState.WAITING: StageState.ACTIVE},
    StageEvent.FINISHED: {StageState.ACTIVE: StageState.SUCCEEDED},
}
_A, _AE = AttemptState, AttemptEvent
HELD_ATTEMPTS = frozenset({_A.STARTING, _A.RUNNING, _A.STOPPING})
LIVE_ATTEMPTS = HELD_ATTEMPTS | {_A.QUEUED}
_ATTEMPT = {
    _AE.CLAIMED: _all_to(_A.STARTING, _A.QUEUED),
    _AE.STARTED: _all_to(_A.RUNNING, _A.STARTING),
    _AE.STOPPING: _all_to(_A.STOPPING, _A.STARTING, _A.RUNNING),
    _AE.FINISHED: _all_to(_A.SUCCEEDED, *HELD_ATTEMPTS),
    _AE.PREEMPTED: _all_to(_A.PREEMPTED, *HELD_ATTEMPTS),
    _AE.LEASE_EXPIRED: _all_to(_A.LOST, *HELD_ATTEMPTS),
    _AE.FAILED: _all_to(_A.FAILED, *LIVE_ATTEMPTS),
    _AE.PAUSED: _all_to(_A.PAUSED, *LIVE_ATTEMPTS),
    _AE.CANCELLED: _all_to(_A.CANCELLED, *LIVE_ATTEMPTS),
}
TERMINAL_JOBS = frozenset({_J.SUCCEEDED, _J.FAILED, _J.CANCELLED})
"""A job in one of these has ended. It leaves FAILED and CANCELLED only by a retry, which a user orders."""

ACTIVE_JOBS = frozenset(JobState) - TERMINAL_JOBS


def _next(table: Mapping[_E, Mapping[_S, _S]], what: str, state: _S, event: _E) -> _S:
    if state not in table[event]:
        raise TransitionError(f"{what} is {state.value}: {event.value} is not possible now")
    return table[event][state]


def next_job_state(state: JobState, event: JobEvent) -> JobState:
    """The job's state after the event.

    Raises:
        TransitionError: the event is not possible in this state.

    >>> next_job_state(JobState.RUNNING, JobEvent.INTERRUPTED).value
    'recovering'
    """
    return _next(_JOB, "the job", state, event)


def next_stage_state(state: StageState, event: StageEvent) -> StageState:
    """The stage's state after the event.

    Raises:
        TransitionError: the event is not possible in this state.
    """
    return _next(_STAGE, "the stage", state, event)


def next_attempt_state(state: AttemptState, event: AttemptEvent) -> AttemptState:
    """The attempt's state after the event.

    Raises:
        TransitionError: the event is not possible in this state.
    """
    return _next(_ATTEMPT, "the attempt", state, event)


def shown_status(state: JobState, desired: DesiredState) -> str:
    """The status that a user sees: `pausing` or `cancelling` until the job is paused or cancelled."""
    if state in TERMINAL_JOBS or desired is DesiredState.RUN:
        return state.value
    if desired is DesiredState.CANCEL:
        return "cancelling"
    return state.value if state is JobState.PAUSED else "pausing"
