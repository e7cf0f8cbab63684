"""Rules for the budget of a job (failures, preemptions, attempts without progress) and for its history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from baton.domain.reasons import Reason
from baton.domain.states import JobState, StageState
from baton.domain.wire import Position
from tests.control_plane.record import Epoch, Event, Record
from tests.control_plane.violations import Violation, at

INTERRUPTIONS = (Reason.PREEMPTED, Reason.LEASE_EXPIRED)
COUNTED = ("attempt_preempted", "attempt_lost", "attempt_failed")


@dataclass
class Budget:
    """What the job has used up so far. `forgiven`: the failures before the last retry, which count only in totals."""

    failures: int = 0
    forgiven: int = 0
    retries: int = 0
    preemptions: int = 0
    without_progress: int = 0
    furthest: Position | None = None
    progressed: bool = False

    def follow(self, event: Event, positions: dict[str, Position]) -> None:
        """Process the next event."""
        if event.kind == "claimed":
            self.progressed = False
        elif event.kind == "checkpoint" and event.data["checkpoint"] in positions:
            self._reach(positions[event.data["checkpoint"]])
        elif event.kind in COUNTED:
            self.failures += event.kind == "attempt_failed"
            self.without_progress += not self.progressed
        elif event.kind == "succeeded":
            self.without_progress = 0
        elif event.kind == "retried":
            self.forgiven, self.without_progress, self.retries = self.failures, 0, self.retries + 1
        self.preemptions += event.kind in COUNTED and event.data.get("reason") in INTERRUPTIONS

    def _reach(self, position: Position) -> None:
        if self.furthest is None or self.furthest < position:
            self.furthest, self.without_progress, self.progressed = position, 0, True


def budgets_are_right(record: Record) -> Iterator[Violation]:
    """The counters of the job equal those of its log.

    The job continues within its budget and ends when the budget is used up.
    """
    spent, retry = Budget(), record.spec.retry
    positions = {row.id: row.position for row in record.checkpoints}
    if any(_untold(event) for event in record.events):
        return
    for event in record.events:
        spent.follow(event, positions)
        empty = _spent(spent, retry.max_failures, retry.max_attempts_without_progress)
        if event.kind == "recovering" and empty:
            yield at(event, f"it goes on although {' and '.join(empty)}")
        reason = event.data.get("reason") if event.kind == "failed" else None
        if reason in (Reason.TOO_MANY_FAILURES, Reason.NO_PROGRESS) and reason not in empty:
            yield at(event, f"{reason}, but spent are {spent}")
    yield from _other_counts(record, spent)


def _untold(event: Event) -> bool:
    """Whether the log alone does not determine the budget after this event.

    It does not contain which checkpoints still existed when one was quarantined, and how long a store was unavailable.
    """
    return event.kind == "quarantined" or event.data.get("reason") == Reason.STORE_UNAVAILABLE


def _spent(spent: Budget, max_failures: int, max_without_progress: int) -> list[str]:
    found = [Reason.TOO_MANY_FAILURES] * (spent.failures - spent.forgiven > max_failures)
    return [*found, *[Reason.NO_PROGRESS] * (spent.without_progress >= max_without_progress)]


def _other_counts(record: Record, spent: Budget) -> Iterator[Violation]:
    job = record.job
    counted = (job.failures, job.preemptions, job.without_progress, job.retries)
    told = (spent.failures, spent.preemptions, spent.without_progress, spent.retries)
    if counted != told:
        yield Violation(f"failures, preemptions, without progress, retries: the job counts {counted}, the log {told}")


def history_is_complete(record: Record) -> Iterator[Violation]:
    """Epochs are numbered from 1 without a gap, each at its step. A job that succeeded has all of them."""
    numbers, planned = [row.epoch for row in record.epochs], list(_planned(record))
    if numbers != list(range(1, len(numbers) + 1)):
        yield Violation(f"epochs {numbers}")
    for row, plan in zip(record.epochs, planned, strict=False):
        recorded = (row.epoch, row.stage, row.stage_epoch, row.global_step)
        if recorded != (plan.epoch, plan.stage, plan.stage_epoch, plan.global_step or row.global_step):
            yield Violation(f"epoch {row} is not as planned: {plan}")
    if record.job.state == JobState.SUCCEEDED:
        if len(numbers) != len(planned):
            yield Violation(f"the job succeeded with {len(numbers)} of {len(planned)} epochs")
        if any(stage.state != StageState.SUCCEEDED for stage in record.stages):
            yield Violation(f"the job succeeded with stages {record.stages}")


def _planned(record: Record) -> Iterator[Epoch]:
    """The epochs of the spec. Their step is 0 if only the data determines it."""
    epoch = steps = 0
    known = all(stage.steps_per_epoch for stage in record.spec.stages)
    for number, stage in enumerate(record.spec.stages, start=1):
        for stage_epoch in range(1, stage.epochs + 1):
            epoch, steps = epoch + 1, steps + (stage.steps_per_epoch or 0)
            yield Epoch(epoch, 0, number, stage_epoch, steps if known else 0, 0)
