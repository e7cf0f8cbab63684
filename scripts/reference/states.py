"""docs/reference/states-and-events.md from the table of states, the reasons and the service's events."""

from __future__ import annotations

from enum import StrEnum

from baton.domain import states
from baton.domain.reasons import Category, Reason, category
from baton.domain.service_events import SERVICE_EVENTS
from baton.domain.wire import Phase
from scripts.reference.markdown import code, page, table

INTRODUCTION = """
The states of jobs, stages and attempts, the events that change the states, and the reasons in answers. The service
checks these tables before each change: a change without an entry is refused with 409 `conflict`. [Follow a
job](../how-to/follow-a-job.md) explains each event. [Scheduling](scheduling.md) explains the consequences of each
reason.
"""


def states_page() -> str:
    """The page."""
    jobs = _moves(states.JobState, states.JobEvent, states.next_job_state)
    stages = _moves(states.StageState, states.StageEvent, states.next_stage_state)
    attempts = _moves(states.AttemptState, states.AttemptEvent, states.next_attempt_state)
    shown = "A running job that was told to stop is shown as `pausing` or `cancelling` until it has stopped."
    ends = ", ".join(code(one.value) for one in states.JobState if one in states.TERMINAL_JOBS)
    final = f"A job ends as {ends}; only a [retry](../how-to/steer-a-job.md#retry) continues it."
    phases = ", ".join(code(one.value) for one in Phase)
    reasons = table(("category", "reasons"), [(one.value, _reasons(one)) for one in Category])
    return page(
        "States and events",
        INTRODUCTION,
        f"## Jobs\n\n{shown} {final}\n\n{jobs}",
        f"## Stages\n\n{stages}",
        f"## Attempts\n\nAn attempt is one run of a job on one worker.\n\n{attempts}",
        f"## Phases\n\nThe worker's current activity, from its reports: {phases}.",
        f"## Reasons\n\nWhy an attempt or a job ended.\n\n{reasons}",
        "## Kinds of events\n\nThe service writes these. Notes of workers have other kinds, such as `notice`.\n\n"
        + ", ".join(map(code, sorted(SERVICE_EVENTS))),
    )


def _reasons(wanted: Category) -> str:
    return ", ".join(code(one.value) for one in Reason if category(one) is wanted)


def _moves(all_states: type[StrEnum], events: type[StrEnum], following: object) -> str:
    rows = []
    for event in events:
        moves = []
        for state in all_states:
            try:
                moves.append(f"`{state.value}` to `{following(state, event).value}`")  # type: ignore[operator]
            except states.TransitionError:
                continue
        rows.append((code(event.value), ", ".join(moves)))
    return table(("what happens", "moves"), rows)
