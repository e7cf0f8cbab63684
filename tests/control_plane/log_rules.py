"""Rules for the log itself: sequence numbers, states, attempts, and the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from baton.domain.states import DesiredState
from tests.control_plane.record import Record
from tests.control_plane.replay import ENDINGS, last_moment, replay
from tests.control_plane.violations import Violation, at

USER = "user"


def sequence_is_gapless(record: Record) -> Iterator[Violation]:
    """Events are numbered from 1 without a gap, and the job has the right count of them."""
    numbers = [event.sequence for event in record.events]
    if numbers != list(range(1, len(numbers) + 1)):
        yield Violation(f"the numbers are {numbers}")
    if record.job.events != len(numbers):
        yield Violation(f"the job counts {record.job.events} events, there are {len(numbers)}")


def log_begins_with_the_submission(record: Record) -> Iterator[Violation]:
    """A job has one `submitted` event, and it is the first."""
    places = [event.sequence for event in record.events if event.kind == "submitted"]
    if places != [1]:
        yield Violation(f"submitted at events {places}")


def states_follow_the_table(record: Record) -> Iterator[Violation]:
    """Every event is allowed in the state in which it happens."""
    for now, event in replay(record):
        for text in now.illegal:
            yield at(event, text)


def rows_are_where_the_log_ends(record: Record) -> Iterator[Violation]:
    """Job, attempts and stages are in the states that follow from the log."""
    end = last_moment(record)
    if (record.job.state, record.job.desired) != (end.job, end.desired):
        yield Violation(f"the job is {record.job.state}/{record.job.desired}, its log says {end.job}/{end.desired}")
    attempts = {row.number: row.state for row in record.attempts}
    if attempts != end.attempts:
        yield Violation(f"the attempts are {attempts}, the log says {_plain(end.attempts)}")
    stages = {row.stage: row.state for row in record.stages}
    if stages != end.stages:
        yield Violation(f"the stages are {stages}, the log says {_plain(end.stages)}")


def one_attempt_lives_at_a_time(record: Record) -> Iterator[Violation]:
    """An attempt is queued only after the previous one has ended. Their numbers have no gap."""
    for now, event in replay(record):
        if event.kind != "queued":
            continue
        if now.live:
            yield at(event, f"attempt {event.data['attempt']} is queued while {now.live} live")
        if event.data["attempt"] != len(now.attempts) + 1:
            yield at(event, f"attempt {event.data['attempt']} follows {len(now.attempts)}")
    if record.job.attempts != len(record.attempts):
        yield Violation(f"the job counts {record.job.attempts} attempts, there are {len(record.attempts)}")


def every_attempt_ends_once(record: Record) -> Iterator[Violation]:
    """Every attempt is ended by one event, and none is live after the end of its job."""
    endings = Counter(event.data["attempt"] for event in record.events if event.kind in ENDINGS)
    end = last_moment(record)
    for row in record.attempts:
        expected = 0 if row.number in end.live and not end.ended else 1
        if endings[row.number] != expected:
            yield Violation(f"attempt {row.number} ended {endings[row.number]} times, not {expected}")


def terminal_is_final(record: Record) -> Iterator[Violation]:
    """Nothing is logged after the end, except a retry by a user, and failures of the upkeep of the job's files, which
    continues. The table of states says which jobs can be retried.
    """
    for now, event in replay(record):
        by_user = event.kind == "retried" and event.actor == USER
        if now.ended and event.kind != "item_failed" and not by_user:
            yield at(event, f"the job was {now.job} before")


def owner_is_obeyed(record: Record) -> Iterator[Violation]:
    """A job is cancelled if and only if its owner asked for it."""
    for now, event in replay(record):
        if event.kind == "cancelled" and now.desired is not DesiredState.CANCEL:
            yield at(event, "nobody asked for it")
        if event.kind == "failed" and now.desired is DesiredState.CANCEL:
            yield at(event, "its owner had cancelled it")
        if event.kind == "queued" and now.desired is not DesiredState.RUN:
            yield at(event, f"its owner wanted it to {now.desired}")


def _plain(states: dict[int, object]) -> dict[int, str]:
    return {number: str(state) for number, state in states.items()}
