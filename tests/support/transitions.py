"""Computes the states of a job from the events in its log, to compare them with the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from baton.domain.states import AttemptState, JobState, StageState

ENDED = ("succeeded", "preempted", "lost", "failed", "paused", "cancelled")
ATTEMPTS = {
    "queued": AttemptState.QUEUED,
    "claimed": AttemptState.STARTING,
    "started": AttemptState.RUNNING,
    "stopping": AttemptState.STOPPING,
    **{f"attempt_{state}": AttemptState(state) for state in ENDED},
}
STAGES = {"stage_started": StageState.ACTIVE, "stage_finished": StageState.SUCCEEDED}
JOBS: Mapping[str, Mapping[str | None, JobState]] = {
    "submitted": {None: JobState.QUEUED},
    "claimed": {JobState.QUEUED: JobState.RUNNING},
    "started": {JobState.RECOVERING: JobState.RUNNING},
    "recovering": {JobState.RUNNING: JobState.RECOVERING},
    "paused": dict.fromkeys((JobState.QUEUED, JobState.RUNNING, JobState.RECOVERING), JobState.PAUSED),
    "resumed": {JobState.PAUSED: JobState.QUEUED},
    "retried": dict.fromkeys((JobState.FAILED, JobState.CANCELLED), JobState.QUEUED),
    "succeeded": dict.fromkeys((JobState.RUNNING, JobState.RECOVERING), JobState.SUCCEEDED),
    "failed": dict.fromkeys((JobState.QUEUED, JobState.RUNNING, JobState.RECOVERING, JobState.PAUSED), JobState.FAILED),
    "cancelled": dict.fromkeys(
        (JobState.QUEUED, JobState.RUNNING, JobState.RECOVERING, JobState.PAUSED), JobState.CANCELLED
    ),
}
"""Kind -> the job's state before -> after. In any other state the event does not concern the job's state."""

NO_CHANGE = {
    ("claimed", JobState.RECOVERING),  # the job is recovering until the next attempt trains
    ("started", JobState.RUNNING),
    ("recovering", JobState.RECOVERING),  # that attempt was lost too
    ("resumed", JobState.RUNNING),  # a pause was withdrawn before it took effect
    ("resumed", JobState.RECOVERING),
}


@dataclass
class Told:
    """The states and changes according to a log."""

    job: str | None = None
    attempts: dict[int, str] = field(default_factory=dict)
    stages: dict[int, str] = field(default_factory=dict)
    changes: list[tuple[str, str | None, str]] = field(default_factory=list)
    """The changes: of what (job, attempt or stage), from, to."""


def told(events: Iterable[Mapping[str, Any]]) -> Told:
    """The states at the end of a log. Raises AssertionError for a gap, a missing actor, or a change with two events."""
    states = Told()
    for expected, event in enumerate(events, start=1):
        assert event["sequence"] == expected
        assert event["actor"]
        _job(states, event)
        if event["kind"] in ATTEMPTS:
            _change(states, "attempt", states.attempts, event["data"]["attempt"], ATTEMPTS[event["kind"]], event)
        if event["kind"] in STAGES:
            _change(states, "stage", states.stages, event["data"]["stage"], STAGES[event["kind"]], event)
    return states


def _change(states: Told, what: str, known: dict[int, str], which: int, after: str, event: Mapping[str, Any]) -> None:
    before = known.get(which)
    assert before != after, f"the log has this change twice: {event}"
    known[which] = after
    states.changes.append((what, before, after))


def _job(states: Told, event: Mapping[str, Any]) -> None:
    kind, before = event["kind"], states.job
    if kind not in JOBS:
        return
    after = JOBS[kind].get(before)
    assert after is not None or (kind, before) in NO_CHANGE, f"impossible while the job is {before}: {event}"
    if after is not None:
        states.job = after
        states.changes.append(("job", before, after))
