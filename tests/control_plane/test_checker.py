"""The checker finds every kind of error in records that were broken on purpose, and finds nothing in records of
real jobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest

from tests.control_plane import histories
from tests.control_plane.checker import RULES, check
from tests.control_plane.histories import GOOD, record
from tests.control_plane.record import Event, Record
from tests.service.helpers import Api

_told: list[Record] = []


@pytest.fixture
def long_story(request: pytest.FixtureRequest) -> Record:
    """The same record for all tests, made once."""
    if not _told:
        _told.append(histories.long_story(request.getfixturevalue("api")))
    return _told[0]


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_found_in_a_good_record(api: Api, name: str) -> None:
    found = record(api, GOOD[name](api))
    assert check(found) == []


def test_nothing_is_found_in_a_long_story(long_story: Record) -> None:
    assert long_story.job.state == "succeeded"
    assert [row.state for row in long_story.attempts] == ["preempted", "lost", "failed", "paused", "succeeded"]
    assert check(long_story) == []


# --- records that are broken on purpose ---

Break = Callable[[Record], Record]


def numbered(record: Record, events: Iterable[Event]) -> Record:
    """The record with these events, numbered again, so that the numbers are no extra error."""
    counted = tuple(replace(event, sequence=k) for k, event in enumerate(events, start=1))
    return replace(record, events=counted, job=replace(record.job, events=len(counted)))


def index(record: Record, kind: str, nth: int = 0) -> int:
    return [k for k, event in enumerate(record.events) if event.kind == kind][nth]


def changed(kind: str, nth: int = 0, /, **data: Any) -> Break:
    def make(record: Record) -> Record:
        events, k = list(record.events), index(record, kind, nth)
        events[k] = replace(events[k], data={**events[k].data, **data})
        return numbered(record, events)

    return make


def without(kind: str, nth: int = 0) -> Break:
    def make(record: Record) -> Record:
        events = list(record.events)
        del events[index(record, kind, nth)]
        return numbered(record, events)

    return make


def moved(kind: str, nth: int, before: str, before_nth: int = 0) -> Break:
    """A change: an event happens before another one."""

    def make(record: Record) -> Record:
        events = list(record.events)
        event = events.pop(index(record, kind, nth))
        events.insert([k for k, other in enumerate(events) if other.kind == before][before_nth], event)
        return numbered(record, events)

    return make


def again(kind: str, nth: int = 0) -> Break:
    """A change: an event happens twice."""

    def make(record: Record) -> Record:
        events = list(record.events)
        k = index(record, kind, nth)
        return numbered(record, [*events[: k + 1], *events[k:]])

    return make


def late(kind: str, nth: int = 0) -> Break:
    """A change: an event happens again after the end."""

    def make(record: Record) -> Record:
        return numbered(record, [*record.events, record.events[index(record, kind, nth)]])

    return make


def job(**values: Any) -> Break:
    return lambda record: replace(record, job=replace(record.job, **values))


def row(what: str, nth: int, **values: Any) -> Break:
    def make(record: Record) -> Record:
        rows = list(getattr(record, what))
        rows[nth] = replace(rows[nth], **values)
        return replace(record, **{what: tuple(rows)})

    return make


def dropped(what: str, nth: int) -> Break:
    def make(record: Record) -> Record:
        rows = list(getattr(record, what))
        del rows[nth]
        return replace(record, **{what: tuple(rows)})

    return make


def gap(record: Record) -> Record:
    return replace(record, events=tuple(event for event in record.events if event.sequence != 4))


def repeated_number(record: Record) -> Record:
    events = list(record.events)
    events[5] = replace(events[5], sequence=5)
    return replace(record, events=tuple(events))


def by_the_zombie(kind: str, nth: int, attempt: int, fence: int) -> Break:
    """A change: a write of an older attempt was accepted."""
    return changed(kind, nth, attempt=attempt, fence=fence)


BROKEN: dict[str, tuple[str, Break]] = {
    "a number is missing": ("sequence_is_gapless", gap),
    "a number is there twice": ("sequence_is_gapless", repeated_number),
    "the job counts another number": ("sequence_is_gapless", job(events=3)),
    "submitted twice": ("log_begins_with_the_submission", again("submitted")),
    "never submitted": ("log_begins_with_the_submission", without("submitted")),
    "trained before it was claimed": ("states_follow_the_table", moved("started", 0, "claimed")),
    "claimed twice": ("states_follow_the_table", again("claimed", 1)),
    "recovering without a reason": ("states_follow_the_table", moved("recovering", 0, "claimed")),
    "a stage finished before it began": ("states_follow_the_table", moved("stage_finished", 0, "stage_started")),
    "the row says another state": ("rows_are_where_the_log_ends", job(state="failed")),
    "the row says another wish": ("rows_are_where_the_log_ends", job(desired="pause")),
    "an attempt's row says another state": ("rows_are_where_the_log_ends", row("attempts", 1, state="failed")),
    "an attempt's row is gone": ("rows_are_where_the_log_ends", dropped("attempts", 1)),
    "a stage's row says another state": ("rows_are_where_the_log_ends", row("stages", 0, state="active")),
    "the end is not told": ("rows_are_where_the_log_ends", without("succeeded")),
    "two attempts live": ("one_attempt_lives_at_a_time", moved("queued", 1, "attempt_preempted")),
    "an attempt's number is left out": ("one_attempt_lives_at_a_time", changed("queued", 4, attempt=6)),
    "the job counts more attempts": ("one_attempt_lives_at_a_time", job(attempts=9)),
    "an attempt ended twice": ("every_attempt_ends_once", again("attempt_lost")),
    "an attempt never ended": ("every_attempt_ends_once", without("attempt_lost")),
    "an attempt outlived its job": ("every_attempt_ends_once", without("attempt_succeeded")),
    "a checkpoint after the end": ("terminal_is_final", late("checkpoint", 3)),
    "an epoch after the end": ("terminal_is_final", late("epoch", 2)),
    "a second end": ("terminal_is_final", late("succeeded")),
    "an attempt after the end": ("terminal_is_final", late("queued", 4)),
    "an attempt is queued although the job is to pause": ("owner_is_obeyed", without("resumed")),
    "a fence is given twice": ("fences_grow", changed("claimed", 2, fence=2)),
    "a fence falls": ("fences_grow", changed("claimed", 3, fence=1)),
    "the job's fence is another": ("fences_grow", job(fence=4)),
    "an attempt's fence is another": ("fences_grow", row("attempts", 0, fence=9)),
    "a checkpoint of a lost attempt": ("only_the_holder_writes", by_the_zombie("checkpoint", 2, 2, 2)),
    "a checkpoint with an older fence": ("only_the_holder_writes", changed("checkpoint", 2, fence=2)),
    "an epoch of a lost attempt": ("only_the_holder_writes", by_the_zombie("epoch", 1, 2, 2)),
    "a file of a lost attempt": ("only_the_holder_writes", changed("artifact", 1, attempt=2)),
    "a finish of a lost attempt": ("only_the_holder_writes", by_the_zombie("attempt_failed", 0, 2, 2)),
    "a checkpoint while nobody held the job": ("only_the_holder_writes", moved("checkpoint", 1, "claimed", 2)),
    "a checkpoint's row without its event": ("rows_are_those_of_the_log", without("checkpoint", 1)),
    "a checkpoint's event without its row": ("rows_are_those_of_the_log", dropped("checkpoints", 1)),
    "a checkpoint's row has another fence": ("rows_are_those_of_the_log", row("checkpoints", 2, fence=2)),
    "a checkpoint's row has another step": ("rows_are_those_of_the_log", row("checkpoints", 2, global_step=14)),
    "a checkpoint's name has another fence": (
        "rows_are_those_of_the_log",
        lambda record: row("checkpoints", 2, prefix=record.checkpoints[1].prefix)(record),
    ),
    "an epoch's row has another fence": ("rows_are_those_of_the_log", row("epochs", 1, fence=2)),
    "an epoch's row without its event": ("rows_are_those_of_the_log", without("epoch", 1)),
    "an epoch's row is gone": ("rows_are_those_of_the_log", dropped("epochs", 1)),
    "a file is the zombie's": ("rows_are_those_of_the_log", row("artifacts", 0, fence=2)),
    "an attempt began too early": ("attempts_go_on_at_the_newest_checkpoint", row("attempts", 2, start_step=5)),
    "an attempt began too late": ("attempts_go_on_at_the_newest_checkpoint", row("attempts", 2, start_step=11)),
    "an attempt began nowhere": ("attempts_go_on_at_the_newest_checkpoint", row("attempts", 2, start_step=None)),
    "an older checkpoint was restored": (
        "attempts_go_on_at_the_newest_checkpoint",
        lambda record: changed("restored", prefix=record.checkpoints[0].prefix)(record),
    ),
    "steps fall within an attempt": ("steps_go_forward", changed("checkpoint", 4, global_step=19)),
    "a step is committed that the fence before it had committed": (
        "steps_go_forward",
        changed("checkpoint", 2, global_step=9),
    ),
    "rows fall within an attempt": ("steps_go_forward", changed("epoch", 1, global_step=1000)),
    "too few failures are counted": ("budgets_are_right", job(failures=0)),
    "too many interruptions are counted": ("budgets_are_right", job(preemptions=3)),
    "attempts without progress are counted in a job that made some": ("budgets_are_right", job(without_progress=1)),
    "it goes on with its budget spent": (
        "budgets_are_right",
        lambda record: job(spec={**record.job.spec, "retry": {"max_failures": 0}})(record),
    ),
    "an epoch is missing": ("history_is_complete", dropped("epochs", 1)),
    "the last epoch is missing": ("history_is_complete", dropped("epochs", 2)),
    "an epoch is there twice": ("history_is_complete", row("epochs", 1, epoch=1)),
    "an epoch is not where the spec has it": ("history_is_complete", row("epochs", 1, global_step=19)),
    "an epoch is of another stage": ("history_is_complete", row("epochs", 2, stage=1)),
    "a stage is not done": ("history_is_complete", row("stages", 1, state="active")),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_found(long_story: Record, name: str) -> None:
    rule, breaks = BROKEN[name]
    found = check(breaks(long_story))
    assert rule in {violation.rule for violation in found}, "\n".join(map(str, found)) or "the checker found nothing"


def test_failing_for_want_of_a_budget_that_is_left_is_found(api: Api) -> None:
    good = record(api, histories.failed_for_good(api))
    found = check(job(spec={**good.job.spec, "retry": {"max_failures": 5}})(good))
    assert {violation.rule for violation in found} == {"budgets_are_right"}


RETRIED: dict[str, tuple[str, Break]] = {
    "a retry is not told": ("states_follow_the_table", without("retried")),
    "a retry by nobody": (
        "terminal_is_final",
        lambda record: replace(
            record, events=tuple(replace(e, actor="conductor") if e.kind == "retried" else e for e in record.events)
        ),
    ),
    "a retry of a job that runs": ("states_follow_the_table", moved("retried", 1, "attempt_failed", 3)),
    "the job counts another number of retries": ("budgets_are_right", job(retries=1)),
    "the failures before the retry count for its budget": (
        "budgets_are_right",
        lambda record: job(spec={**record.job.spec, "retry": {"max_failures": 3}})(record),
    ),
}


@pytest.mark.parametrize("name", RETRIED)
def test_what_is_broken_about_a_retry_is_found(api: Api, name: str) -> None:
    rule, breaks = RETRIED[name]
    found = check(breaks(record(api, histories.retried(api))))
    assert rule in {violation.rule for violation in found}, "\n".join(map(str, found)) or "the checker found nothing"


def test_ending_a_job_without_or_against_its_owners_wish_is_found(api: Api) -> None:
    good = record(api, histories.cancelled_while_it_ran(api))
    assert "owner_is_obeyed" in {violation.rule for violation in check(without("cancel_requested")(good))}
    failed = record(api, histories.failed_for_good(api))
    wish = Event(0, "cancel_requested", "user", {})
    found = check(numbered(failed, [*failed.events[:-1], wish, failed.events[-1]]))
    assert "owner_is_obeyed" in {violation.rule for violation in found}


def test_each_rule_is_broken_by_some_record() -> None:
    assert {rule for rule, _ in BROKEN.values()} == {rule.__name__ for rule in RULES}
