"""The demo's checks of the job's history, attempts and results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from baton.domain.views import AttemptView, EventView, JobView
from baton.domain.wire import EpochRow

LEAST_ACCURACY = 0.95
STATUS_AFTER = {
    "submitted": "queued",
    "claimed": "running",
    "recovering": "recovering",
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
}


@dataclass(frozen=True)
class Check:
    """One check and whether it holds."""

    holds: bool
    text: str


@dataclass(frozen=True)
class Outcome:
    """The service's answers after the job has ended. `killed_at`: the last step reported before the kill."""

    job: JobView
    history: Sequence[EpochRow]
    attempts: Sequence[AttemptView]
    statuses: Sequence[str]
    killed_at: int | None
    epochs: int
    total_steps: int


def all_checks(outcome: Outcome) -> Iterator[Check]:
    """All checks of the history, the attempts and the test accuracy."""
    job = outcome.job
    yield Check(
        job.status == "succeeded", f"the job ended as {job.status}" + (f": {job.message}" if job.message else "")
    )
    yield from _history_checks(outcome)
    yield from _recovery_checks(outcome)
    accuracy = job.results.get("test_accuracy")
    shown = "missing" if accuracy is None else f"{accuracy:.2%}"
    yield Check((accuracy or 0.0) >= LEAST_ACCURACY, f"test accuracy is {shown} (at least {LEAST_ACCURACY:.0%} wanted)")


def _history_checks(outcome: Outcome) -> Iterator[Check]:
    epochs = [row.epoch for row in outcome.history]
    wanted = list(range(1, outcome.epochs + 1))
    missing = sorted(set(wanted) - set(epochs))
    doubled = sorted({epoch for epoch in epochs if epochs.count(epoch) > 1})
    found = f"missing {missing or 'none'}, repeated {doubled or 'none'}"
    yield Check(epochs == wanted, f"the history has one row for each of the {outcome.epochs} epochs: {found}")
    steps = [row.global_step for row in outcome.history]
    grows = all(before < after for before, after in pairwise(steps))
    text = f"steps increase from epoch to epoch and end at {steps[-1] if steps else 0} of {outcome.total_steps}"
    yield Check(grows and bool(steps) and steps[-1] == outcome.total_steps, text)


def _recovery_checks(outcome: Outcome) -> Iterator[Check]:
    lost = [a for a in outcome.attempts if a.state == "lost"]
    text = f"{len(outcome.attempts)} attempts, {len(lost)} of them lost, the last one succeeded"
    yield Check(bool(lost) and [a.state for a in outcome.attempts] == ["lost"] * len(lost) + ["succeeded"], text)
    path = " -> ".join(outcome.statuses)
    found = _in_order(["running", "recovering", "running"], outcome.statuses)
    yield Check(found, f"the job's statuses were {path}")
    start = outcome.attempts[1].start_step if len(outcome.attempts) > 1 else None
    text = f"the second attempt continued at step {start}; the first had reported step {outcome.killed_at}"
    yield Check(bool(start), text)


def statuses(events: Sequence[EventView]) -> list[str]:
    """The job's statuses in order, from its events. Polls could miss a short status; the events contain all."""
    return [STATUS_AFTER[event.kind] for event in events if event.kind in STATUS_AFTER]


def _in_order(wanted: Sequence[str], seen: Sequence[str]) -> bool:
    """Whether `wanted` is a subsequence of `seen`."""
    rest = iter(seen)
    return all(status in rest for status in wanted)
