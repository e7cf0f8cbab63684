"""Sends a message to Redis for each attempt that may start. Runs in a different thread than lease expiry."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session, load_only

from baton.domain.backoff import at_doubling
from baton.domain.queues import PRIORITIES, rq_queue
from baton.domain.states import AttemptState
from service.db.base import IS_DISPATCHED, IS_SPENT
from service.db.engine import Database
from service.db.outage import away, busy, refused
from service.db.tables import Attempt, Job
from service.db.unit_of_work import Unit, unlocked
from service.reconciler import isolation as isolated
from service.reconciler.dispatch_window import AGAIN, WINDOW, outstanding, to_send
from service.reconciler.isolation import Isolation, Item
from service.reconciler.rq_dispatch import AWAY, RqMessages
from service.usecases.attempt_limits import Limits
from service.usecases.queue_backlog import Key

ACTOR = "conductor"
FRESH = timedelta(seconds=1)
SENDING, RECORDING, AUDITING, CLEANING = "dispatch", "dispatch-record", "dispatch-audit", "messages"
CHUNK = 100
SPENT = 500
_SPENT = (
    select(Attempt.id, Attempt.finished_at, Job.queue, Job.priority)
    .join(Job, Job.id == Attempt.job_id)
    .where(IS_SPENT)
    .order_by(Attempt.dispatched_at)
    .limit(SPENT)
)
READ = 2 * WINDOW
"""Number of messages read from the front of a list."""

MOST = WINDOW + AGAIN
"""Maximum number of dispatched attempts that are compared with a list."""

SENT = "dispatched"
SENT_AGAIN = "dispatched again: its message was lost, and no worker had claimed it"
_Message = tuple[str, bool]  # attempt, and whether it goes to the front


@dataclass
class _List:
    """A list of messages in Redis. `number`: how many messages it should contain."""

    queue: str
    priority: str
    number: int = 0


def dispatch(
    database: Database, messages: RqMessages, again_seconds: float, limits: Limits, isolation: Isolation | None = None
) -> None:
    """Send a message for each attempt that may start. Send it again if it was lost.

    A failure of one list or attempt does not stop the others. Raises the errors of an unavailable Redis or database.
    """
    _Pass(database, messages, timedelta(seconds=again_seconds), isolation or Isolation(database)).run(limits)


def clean(database: Database, messages: RqMessages, isolation: Isolation) -> None:
    """Remove the messages of attempts that were claimed or have ended. Raises the same errors as `dispatch`."""
    with database.read() as session:
        rows = session.execute(_SPENT).all()
    ended = {row.id for row in rows if row.finished_at is not None}
    by_list: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_list[rq_queue(row.queue, row.priority)].append(row.id)
    isolation.each(CLEANING, map(Item, by_list), lambda name: messages.remove(name, by_list[name], ended), ends=AWAY)
    if rows:
        # Lists that could not be cleaned are included, so that they do not block other lists. The Redis sweep removes
        # their remaining messages.
        with database.write() as session:
            free = unlocked(session, Attempt, [row.id for row in rows])
            done = update(Attempt).where(Attempt.id.in_(free), IS_SPENT).values(dispatched_at=None)
            session.execute(done, execution_options={"synchronize_session": False})


class _Pass:
    """One pass over all lists."""

    def __init__(self, database: Database, messages: RqMessages, again: timedelta, isolation: Isolation) -> None:
        self._database, self._messages, self._again, self._isolation = database, messages, again, isolation

    def run(self, limits: Limits) -> None:
        """Send new messages, then audit the messages that were sent before."""
        with self._database.read() as session:
            sent = outstanding(session)
            due = to_send(session, limits, sent)
            failed = isolated.waiting(session, SENDING, RECORDING, AUDITING)
        by_list: defaultdict[str, list[_Message]] = defaultdict(list)
        for one in due:
            name = rq_queue(one.line.queue, one.line.priority)
            if not failed & {name, one.attempt_id}:
                by_list[name].append((one.attempt_id, one.line.again))
        before = _by_list(sent, failed)
        lengths = self._messages.lengths(list(before))
        self._each(SENDING, by_list, lambda name: self._send(name, by_list[name], SENT))
        # A list with the expected length has no missing and no extra messages, so it need not be read.
        odd = {name: one for name, one in before.items() if lengths[name] != one.number}
        self._each(AUDITING, odd, lambda name: self._audit(odd[name]))

    def _each(self, step: str, names: Iterable[str], act: Callable[[str], object]) -> None:
        self._isolation.each(step, map(Item, names), act, ends=AWAY)

    def _send(self, name: str, messages: Sequence[_Message], text: str) -> None:
        """Send messages. Those for the front are sent in reverse order, so that the first one ends in front."""
        for again in (False, True):
            ids = [attempt_id for attempt_id, front in messages if front is again][:: -1 if again else 1]
            for chunk in (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)):
                self._messages.send(name, chunk, front=again)
                claimed = self._record(name, chunk, text)
                self._messages.remove(name, claimed, ended=claimed)

    def _record(self, name: str, attempt_ids: Sequence[str], text: str) -> list[str]:
        """Record the dispatch. Returns the attempts that are no longer queued: claimed meanwhile, or ended."""
        try:
            return _record(self._database, name, attempt_ids, text)
        except Exception as error:
            if away(error) and not busy(error) and not refused(error):
                raise
        claimed: list[str] = []  # the batch failed: record one by one, so that only bad attempts fail
        items = [Item(one, _job_of(self._database, one)) for one in attempt_ids]
        self._isolation.each(RECORDING, items, lambda one: claimed.extend(_record(self._database, name, [one], text)))
        return claimed

    def _audit(self, found: _List) -> None:
        """Send the missing messages of a list again, and remove the extra ones."""
        name = rq_queue(found.queue, found.priority)
        there = self._messages.entries(name, READ)
        with self._database.read() as session:
            now, rows = Unit(session).now(), _dispatched(session, found)
        # At most READ messages were read. If the list is longer, its unread part may contain the missing messages.
        missing = [row for row in rows if row.id not in set(there)] if len(there) < READ else []
        known = self._messages.known([row.id for row in missing])
        # A worker may have taken a message and not claimed yet. A message is lost only if Redis has no record of it.
        # abs(): the age is negative if the message was sent before the clock was set back.
        ages = {row.id: abs(now - row.dispatched_at) for row in missing}
        lost = [row for row in missing if ages[row.id] > (self._again if row.id in known else FRESH)]
        self._send(name, [(row.id, row.urgency % 2 == 0) for row in lost], SENT_AGAIN)
        wanted = {row.id for row in rows}
        remove_strays(self._database, self._messages, name, [one for one in there if one not in wanted])


def remove_strays(database: Database, messages: RqMessages, list_name: str, attempt_ids: Sequence[str]) -> None:
    """Remove the messages of attempts that are no longer queued. Other messages stay for the workers."""
    if attempt_ids:
        query = select(Attempt.id, Attempt.finished_at).where(Attempt.state != AttemptState.QUEUED)
        with database.read() as session:
            rows = session.execute(query.where(Attempt.id.in_(attempt_ids))).all()
        ended = {row.id for row in rows if row.finished_at is not None}
        messages.remove(list_name, [row.id for row in rows], ended)


def _dispatched(session: Session, found: _List) -> Sequence[Row[Any]]:
    rank = 2 * PRIORITIES.index(found.priority)
    query = select(Attempt.id, Attempt.urgency, Attempt.dispatched_at).where(IS_DISPATCHED)
    query = query.where(Attempt.queue == found.queue, Attempt.urgency.in_([rank, rank + 1]))
    return [*session.execute(query.order_by(Attempt.urgency, Attempt.job_number).limit(MOST))]


def _by_list(sent: Counter[Key], failed: set[str]) -> dict[str, _List]:
    found: dict[str, _List] = {}
    for (queue, *_, urgency), number in sent.items():
        priority = PRIORITIES[urgency // 2]
        name = rq_queue(queue, priority)
        if name not in failed:
            found.setdefault(name, _List(queue, priority)).number += number
    return found


def _job_of(database: Database, attempt_id: str) -> str | None:
    with database.read() as session:
        return session.scalar(select(Attempt.job_id).where(Attempt.id == attempt_id))


def _record(database: Database, list_name: str, attempt_ids: Sequence[str], text: str) -> list[str]:
    """Record in one transaction that messages were sent. Returns the attempts that are no longer queued."""
    with database.write() as session:
        unit = Unit(session)
        # Lock the jobs first and in a fixed order, as everywhere. Load only the needed columns: rows may be large.
        of = select(Attempt.job_id).where(Attempt.id.in_(attempt_ids))
        needed = load_only(Job.id, Job.number, Job.events, Job.version, raiseload=True)
        query = select(Job).where(Job.id.in_(of)).options(needed).order_by(Job.number).with_for_update(nowait=True)
        jobs = {job.id: job for job in session.scalars(query)}
        columns = load_only(Attempt.job_id, Attempt.number, Attempt.state, Attempt.dispatched_at, Attempt.dispatches)
        attempts = list(session.scalars(select(Attempt).where(Attempt.id.in_(attempt_ids)).options(columns)))
        now = unit.now()
        with session.no_autoflush:
            for attempt in attempts:
                if attempt.state == AttemptState.QUEUED:
                    attempt.dispatched_at, attempt.dispatches = now, attempt.dispatches + 1
                    # An attempt that every worker refuses is sent again for days.
                    if at_doubling(attempt.dispatches):
                        data = {"attempt": attempt.number, "queue": list_name, "times": attempt.dispatches}
                        said = f"attempt {attempt.number} {text}"
                        unit.event(jobs[attempt.job_id], "dispatched", ACTOR, said, **data)
        return [attempt.id for attempt in attempts if attempt.state != AttemptState.QUEUED]
