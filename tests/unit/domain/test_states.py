"""The table of states: a transition that is not in it is an error, and only a retry leaves a terminal state."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
    shown_status,
)

Q, R, REC, P = JobState.QUEUED, JobState.RUNNING, JobState.RECOVERING, JobState.PAUSED
S, F, C = JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED
# Written out by hand, so that a change of the table must be made here too.
JOBS = {
    (Q, JobEvent.CLAIMED): R,
    (REC, JobEvent.CLAIMED): REC,
    (R, JobEvent.STARTED): R,
    (REC, JobEvent.STARTED): R,
    (R, JobEvent.INTERRUPTED): REC,
    (REC, JobEvent.INTERRUPTED): REC,
    (Q, JobEvent.PAUSED): P,
    (REC, JobEvent.PAUSED): P,
    (R, JobEvent.PAUSED): P,
    (P, JobEvent.RESUMED): Q,
    (Q, JobEvent.CANCELLED): C,
    (REC, JobEvent.CANCELLED): C,
    (R, JobEvent.CANCELLED): C,
    (P, JobEvent.CANCELLED): C,
    (Q, JobEvent.FAILED): F,
    (P, JobEvent.FAILED): F,
    (R, JobEvent.FAILED): F,
    (REC, JobEvent.FAILED): F,
    (R, JobEvent.FINISHED): S,
    (REC, JobEvent.FINISHED): S,
    (F, JobEvent.RETRIED): Q,
    (C, JobEvent.RETRIED): Q,
}


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("event", JobEvent)
def test_every_pair_of_job_state_and_event(state: JobState, event: JobEvent) -> None:
    if (state, event) in JOBS:
        assert next_job_state(state, event) is JOBS[state, event]
    else:
        with pytest.raises(TransitionError, match=f"the job is {state.value}"):
            next_job_state(state, event)


def test_terminal_is_final_except_for_a_retry() -> None:
    assert {(state, event) for state, event in JOBS if state in TERMINAL_JOBS} == {
        (F, JobEvent.RETRIED),
        (C, JobEvent.RETRIED),
    }
    ended = set(AttemptState) - LIVE_ATTEMPTS
    for state in ended:
        for event in AttemptEvent:
            with pytest.raises(TransitionError):
                next_attempt_state(state, event)


def _reachable(state: JobState) -> Iterator[JobState]:
    seen, waiting = set(), [state]
    while waiting:
        now = waiting.pop()
        if now not in seen:
            seen.add(now)
            yield now
            waiting.extend(after for (before, _), after in JOBS.items() if before is now)


@pytest.mark.parametrize("state", sorted(set(JobState) - TERMINAL_JOBS))
def test_no_job_is_stuck(state: JobState) -> None:
    assert set(_reachable(state)) >= TERMINAL_JOBS


def test_an_attempt_is_claimed_once() -> None:
    assert next_attempt_state(AttemptState.QUEUED, AttemptEvent.CLAIMED) is AttemptState.STARTING
    for state in HELD_ATTEMPTS:
        with pytest.raises(TransitionError):
            next_attempt_state(state, AttemptEvent.CLAIMED)


def test_only_a_held_attempt_can_be_lost() -> None:
    with pytest.raises(TransitionError):
        next_attempt_state(AttemptState.QUEUED, AttemptEvent.LEASE_EXPIRED)
    for state in HELD_ATTEMPTS:
        assert next_attempt_state(state, AttemptEvent.LEASE_EXPIRED) is AttemptState.LOST


def test_stages_go_forward() -> None:
    assert next_stage_state(StageState.WAITING, StageEvent.STARTED) is StageState.ACTIVE
    assert next_stage_state(StageState.ACTIVE, StageEvent.FINISHED) is StageState.SUCCEEDED
    with pytest.raises(TransitionError):
        next_stage_state(StageState.SUCCEEDED, StageEvent.STARTED)


@pytest.mark.parametrize(
    ("state", "desired", "shown"),
    [
        (R, DesiredState.RUN, "running"),
        (R, DesiredState.PAUSE, "pausing"),
        (REC, DesiredState.CANCEL, "cancelling"),
        (P, DesiredState.PAUSE, "paused"),
        (P, DesiredState.CANCEL, "cancelling"),
        (S, DesiredState.PAUSE, "succeeded"),
        (C, DesiredState.CANCEL, "cancelled"),
    ],
)
def test_what_a_user_sees(state: JobState, desired: DesiredState, shown: str) -> None:
    assert shown_status(state, desired) == shown
