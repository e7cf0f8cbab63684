"""Replays the event log of a job with the table of states: the states of job, attempts and stages at each event."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from baton.domain.errors import TransitionError
from baton.domain.states import (
    HELD_ATTEMPTS,
    LIVE_ATTEMPTS,
    TERMINAL_JOBS,
    AttemptEvent,
    AttemptState,
    DesiredState,
    JobEvent,
    JobState,
    StageEvent,
    StageState,
    next_attempt_state,
    next_job_state,
    next_stage_state,
)
from tests.control_plane.record import Event, Record

JOB_EVENTS = {
    "claimed": JobEvent.CLAIMED,
    "started": JobEvent.STARTED,
    "recovering": JobEvent.INTERRUPTED,
    "paused": JobEvent.PAUSED,
    "cancelled": JobEvent.CANCELLED,
    "failed": JobEvent.FAILED,
    "succeeded": JobEvent.FINISHED,
    "retried": JobEvent.RETRIED,
}
ENDINGS = {
    "attempt_succeeded": AttemptEvent.FINISHED,
    "attempt_preempted": AttemptEvent.PREEMPTED,
    "attempt_lost": AttemptEvent.LEASE_EXPIRED,
    "attempt_failed": AttemptEvent.FAILED,
    "attempt_paused": AttemptEvent.PAUSED,
    "attempt_cancelled": AttemptEvent.CANCELLED,
}
ATTEMPT_EVENTS = {
    "claimed": AttemptEvent.CLAIMED,
    "started": AttemptEvent.STARTED,
    "stopping": AttemptEvent.STOPPING,
    **ENDINGS,
}
STAGE_EVENTS = {"stage_started": StageEvent.STARTED, "stage_finished": StageEvent.FINISHED}
WISHES = {
    "pause_requested": DesiredState.PAUSE,
    "cancel_requested": DesiredState.CANCEL,
    "resumed": DesiredState.RUN,
    "retried": DesiredState.RUN,
}


@dataclass
class Moment:
    """All states before an event. `illegal`: the reasons why the table of states does not allow the event."""

    job: JobState = JobState.QUEUED
    desired: DesiredState = DesiredState.RUN
    attempts: dict[int, AttemptState] = field(default_factory=dict)
    fences: dict[int, int] = field(default_factory=dict)
    stages: dict[int, StageState] = field(default_factory=dict)
    illegal: list[str] = field(default_factory=list)

    @property
    def live(self) -> list[int]:
        """The numbers of the attempts that have not ended."""
        return [number for number, state in self.attempts.items() if state in LIVE_ATTEMPTS]

    @property
    def held(self) -> int | None:
        """The number of the attempt that may write now."""
        return next((number for number, state in self.attempts.items() if state in HELD_ATTEMPTS), None)

    @property
    def ended(self) -> bool:
        """Whether the job has ended."""
        return self.job in TERMINAL_JOBS


def replay(record: Record) -> Iterator[tuple[Moment, Event]]:
    """Each event with the states before it. The same `Moment` object is changed and returned each time."""
    now = Moment(stages={row.stage: StageState.WAITING for row in record.stages})
    for event in record.events:
        now.illegal = []
        after = _after(now, event)
        yield now, event
        now = after


def last_moment(record: Record) -> Moment:
    """The states after the last event."""
    now = Moment(stages={row.stage: StageState.WAITING for row in record.stages})
    for event in record.events:
        now = _after(now, event)
    return now


def _after(now: Moment, event: Event) -> Moment:
    after = Moment(now.job, now.desired, dict(now.attempts), dict(now.fences), dict(now.stages))
    for follow in (_job, _attempt, _stage):
        try:
            follow(after, event)
        except TransitionError as error:
            now.illegal.append(str(error))
    after.desired = WISHES.get(event.kind, after.desired)
    return after


def _job(now: Moment, event: Event) -> None:
    if event.kind == "resumed" and now.job is JobState.PAUSED:
        now.job = next_job_state(now.job, JobEvent.RESUMED)
    elif event.kind in JOB_EVENTS:
        now.job = next_job_state(now.job, JOB_EVENTS[event.kind])


def _attempt(now: Moment, event: Event) -> None:
    number = event.data.get("attempt", 0)
    if event.kind == "queued":
        now.attempts.setdefault(number, AttemptState.QUEUED)
    elif event.kind in ATTEMPT_EVENTS:
        if number not in now.attempts:
            raise TransitionError(f"attempt {number} was never queued")
        now.attempts[number] = next_attempt_state(now.attempts[number], ATTEMPT_EVENTS[event.kind])
    if event.kind == "claimed":
        now.fences[number] = event.data["fence"]


def _stage(now: Moment, event: Event) -> None:
    if event.kind in STAGE_EVENTS:
        number = event.data["stage"]
        now.stages[number] = next_stage_state(now.stages[number], STAGE_EVENTS[event.kind])
