"""Rules for the effects of workers: one writer at a time, and each attempt starts from the last committed state."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from baton.domain.manifest import artifact_parts, checkpoint_parts
from tests.control_plane.record import Attempt, Checkpoint, Event, Record
from tests.control_plane.replay import Moment, replay
from tests.control_plane.violations import Violation, at

FENCED = ("checkpoint", "epoch", "rows_deleted", "artifact", "quarantined")


def fences_grow(record: Record) -> Iterator[Violation]:
    """Each claim gets a fencing token above all earlier ones. The attempt and the job record it."""
    newest = 0
    given: dict[int, int] = {}
    for event in record.events:
        if event.kind == "claimed":
            fence = event.data["fence"]
            if fence <= newest:
                yield at(event, f"fence {fence} after fence {newest}")
            newest, given[event.data["attempt"]] = max(newest, fence), fence
    if record.job.fence != newest:
        yield Violation(f"the job's fence is {record.job.fence}, the newest claim got {newest}")
    rows = {row.number: row.fence for row in record.attempts if row.fence is not None}
    if rows != given:
        yield Violation(f"the attempts have the fences {rows}, the log gave {given}")


def only_the_holder_writes(record: Record) -> Iterator[Violation]:
    """A worker acts only while its attempt is held, with the fencing token of its claim."""
    for now, event in replay(record):
        if event.actor.startswith("worker:") and event.kind not in ("queued", "claimed"):
            yield from _not_the_holder(now, event)


def _not_the_holder(now: Moment, event: Event) -> Iterator[Violation]:
    attempt, fence = event.data.get("attempt"), event.data.get("fence")
    if attempt is not None and attempt != now.held:
        yield at(event, f"attempt {attempt} wrote, {now.held or 'none'} was held")
    elif event.kind in FENCED and now.held is None:
        yield at(event, "nobody held the job")
    elif fence is not None and now.held is not None and fence != now.fences[now.held]:
        yield at(event, f"fence {fence} wrote, {now.fences[now.held]} was held")


def rows_are_those_of_the_log(record: Record) -> Iterator[Violation]:
    """Each checkpoint, epoch and file has the event that created it, with the same fencing token."""
    yield from _checkpoints_logged(record)
    logged: dict[int, Event] = {}
    for event in record.events:
        if event.kind == "epoch":
            logged[event.data["epoch"]] = event
        elif event.kind == "rows_deleted":
            logged = {epoch: one for epoch, one in logged.items() if epoch <= event.data["after_epoch"]}
    for row in record.epochs:
        event = logged.pop(row.epoch, None)
        if event is None or (event.data["fence"], event.data["global_step"]) != (row.fence, row.global_step):
            yield Violation(f"epoch {row.epoch} has fence {row.fence} and step {row.global_step}, its event: {event}")
    if logged:
        yield Violation(f"epochs {sorted(logged)} were recorded and are gone")
    yield from _artifacts_logged(record)


def _checkpoints_logged(record: Record) -> Iterator[Violation]:
    logged = [event.data["checkpoint"] for event in record.events if event.kind == "checkpoint"]
    if logged != [row.id for row in record.checkpoints]:
        yield Violation(f"checkpoints {[row.id for row in record.checkpoints]}, the log has {logged}")
    events = {event.data["checkpoint"]: event.data for event in record.events if event.kind == "checkpoint"}
    fences = {row.id: row.fence for row in record.attempts}
    for row in record.checkpoints:
        made = events.get(row.id, {"fence": None, "global_step": None})
        parts = checkpoint_parts(row.prefix)
        named = parts[1:3] if parts and parts[0] == record.job.id else None
        if not named == (row.global_step, row.fence) == (made["global_step"], made["fence"]):
            yield Violation(f"checkpoint {row.prefix} has step {row.global_step}, fence {row.fence}; logged: {made}")
        if fences.get(row.attempt_id) != row.fence:
            yield Violation(f"checkpoint {row.prefix} of fence {row.fence} hangs on {row.attempt_id}")


def _artifacts_logged(record: Record) -> Iterator[Violation]:
    fences = {row.number: row.fence for row in record.attempts}
    writers = {event.data["name"]: event.data["attempt"] for event in record.events if event.kind == "artifact"}
    for row in record.artifacts:
        parts = artifact_parts(row.object)
        if not (parts and parts[1] == row.fence == fences.get(writers.get(row.name, 0))):
            yield Violation(f"{row.name} is {row.object} of fence {row.fence}, written by {writers.get(row.name)}")


@dataclass
class _Course:
    """The checkpoints from which the job can resume, updated as they are committed and quarantined."""

    good: list[Checkpoint] = field(default_factory=list)
    quarantines: int = 0

    def follow(self, event: Event, rows: dict[str, Checkpoint]) -> None:
        """Process the next event."""
        row = rows.get(event.data.get("checkpoint", ""))
        if event.kind == "checkpoint" and row is not None:
            self.good.append(row)
        elif event.kind == "quarantined" and row is not None:
            self.quarantines += 1
            self.good = [one for one in self.good if one.id != row.id and row.prefix not in one.needs]

    @property
    def newest(self) -> int:
        """The step of the newest checkpoint, or 0 if there is none."""
        return self.good[-1].global_step if self.good else 0

    def allows(self, step: int) -> bool:
        """Whether an attempt may start there: at the newest checkpoint, or at an earlier one after a quarantine."""
        further_back = {row.global_step for row in self.good} | {0}
        return step == self.newest or (self.quarantines > 0 and step in further_back and step <= self.newest)


def attempts_go_on_at_the_newest_checkpoint(record: Record) -> Iterator[Violation]:
    """The next attempt starts at the newest checkpoint: no committed step is lost, and no uncommitted step is
    assumed.
    """
    course, rows = _Course(), {row.id: row for row in record.checkpoints}
    attempts = {row.number: row for row in record.attempts}
    moved = {event.data["attempt"] for event in record.events if event.kind == "claimed" and _fell_back(record, event)}
    for event in record.events:
        if event.kind == "claimed":
            yield from _begun_elsewhere(event, course, attempts.get(event.data["attempt"]), moved)
        elif event.kind == "restored":
            yield from _restored_another(event, course)
        course.follow(event, rows)


def _fell_back(record: Record, claimed: Event) -> bool:
    """Whether the attempt quarantined a checkpoint itself, so that its start moved back after its claim."""
    following = (event for event in record.events if event.sequence > claimed.sequence)
    for event in following:
        if event.kind == "claimed":
            return False
        if event.kind == "quarantined":
            return True
    return False


def _begun_elsewhere(event: Event, course: _Course, attempt: Attempt | None, moved: set[int]) -> Iterator[Violation]:
    start = attempt.start_step if attempt else None
    if (start is None or not course.allows(start)) and event.data["attempt"] not in moved:
        yield at(event, f"it began at step {start}, the newest checkpoint is at {course.newest}")


def _restored_another(event: Event, course: _Course) -> Iterator[Violation]:
    known = {row.prefix: row for row in course.good}
    row = known.get(event.data.get("prefix", ""))
    if row is None or not course.allows(row.global_step):
        yield at(event, f"{event.data.get('prefix')} was none to go on from; the newest is at {course.newest}")


def steps_go_forward(record: Record) -> Iterator[Violation]:
    """Within an attempt, the steps of checkpoints only increase, from its start on, and so do the steps of rows.

    So a step is never committed by two attempts in two ways. A checkpoint may be committed before waiting rows, and the
    next attempt records those rows again: rows may lie before a checkpoint.
    """
    saved: dict[int, int] = defaultdict(int)
    told: dict[int, int] = defaultdict(int)
    course, rows = _Course(), {row.id: row for row in record.checkpoints}
    for event in record.events:
        number = event.data.get("attempt")
        if event.kind == "claimed":
            saved[event.data["attempt"]] = course.newest
        elif event.kind in ("checkpoint", "epoch") and isinstance(number, int):
            step, reached = event.data["global_step"], saved if event.kind == "checkpoint" else told
            if step < reached[number]:
                yield at(event, f"attempt {number} wrote step {step} after step {reached[number]}")
            reached[number] = max(reached[number], step)
        course.follow(event, rows)
        if event.kind == "quarantined":
            saved = defaultdict(int, {key: min(at_, course.newest) for key, at_ in saved.items()})
