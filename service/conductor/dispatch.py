"""Sends a message to Redis for each attempt that may start. Runs apart from the expiry of leases."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session, load_only

from core.domain.queues import PRIORITIES, rq_queue
from core.domain.states import AttemptState
from service.conductor import isolation as isolated
from service.conductor.isolation import Isolation, Item
from service.conductor.messages import AWAY, Messages
from service.conductor.window import AGAIN, WINDOW, Key, outstanding, to_send
from service.control.limits import Limits
from service.db.away import away, busy, refused
from service.db.base import IS_DISPATCHED, IS_SPENT
from service.db.engine import Database
from service.db.tables import Attempt, Job
from service.db.unit import Unit, unlocked

ACTOR = "conductor"
FRESH = timedelta(seconds=1)
SENDING, RECORDING, AUDITING, CLEANING = "dispatch", "dispatch-record", "dispatch-audit", "messages"
CHUNK = 100
SPENT = 500
READ = 2 * WINDOW
"""So many messages of a list are looked at, from its front."""

MOST = WINDOW + AGAIN
"""So many attempts whose messages should lie in a list are looked at."""

SENT = "dispatched"
SENT_AGAIN = "dispatched again: its message was gone and nobody had claimed it"
_Message = tuple[str, bool]  # attempt, and whether it goes to the front


@dataclass
class _List:
    """`number`: of messages that it should have."""

    queue: str
    priority: str
    number: int = 0


def dispatch(
    database: Database, messages: Messages, again_seconds: float, limits: Limits, isolation: Isolation | None = None
) -> None:
    """Send a message for each attempt that may start, and again for one whose message got lost.

    A failure of one list or one attempt stops no other. Raises what says that Redis or the database is away.
    """
    _Pass(database, messages, timedelta(seconds=again_seconds), isolation or Isolation(database)).run(limits)


def clean(database: Database, messages: Messages, isolation: Isolation) -> None:
    """Remove the messages of attempts that were claimed or have ended. The same errors."""
    with database.read() as session:
        columns = (Attempt.id, Attempt.finished_at, Job.queue, Job.priority)
        query = select(*columns).join(Job, Job.id == Attempt.job_id).where(IS_SPENT)
        rows = session.execute(query.order_by(Attempt.dispatched_at).limit(SPENT)).all()
    ended = {row.id for row in rows if row.finished_at is not None}
    by_list: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        by_list[rq_queue(row.queue, row.priority)].append(row.id)
    isolation.each(CLEANING, map(Item, by_list), lambda name: messages.remove(name, by_list[name], ended), ends=AWAY)
    if rows:
        # Those of a list that could not be cleaned too: they must not hold up all others, and the sweep comes later.
        with database.write() as session:
            free = unlocked(session, [row.id for row in rows])
            done = update(Attempt).where(Attempt.id.in_(free), IS_SPENT).values(dispatched_at=None)
            session.execute(done, execution_options={"synchronize_session": False})


class _Pass:
    """One pass over all lists."""

    def __init__(self, database: Database, messages: Messages, again: timedelta, isolation: Isolation) -> None:
        self._database, self._messages, self._again, self._isolation = database, messages, again, isolation

    def run(self, limits: Limits) -> None:
        """Send what is new, then look after what was sent before."""
        with self._database.read() as session:
            sent = outstanding(session)
            due = to_send(session, limits, sent)
            failed = set[str]().union(*(isolated.waiting(session, step) for step in (SENDING, RECORDING, AUDITING)))
        by_list: defaultdict[str, list[_Message]] = defaultdict(list)
        for one in due:
            name = rq_queue(one.line.queue, one.line.priority)
            if not failed & {name, one.attempt_id}:
                by_list[name].append((one.attempt_id, one.line.again))
        before = _by_list(sent, failed)
        lengths = self._messages.lengths(list(before))
        self._each(SENDING, by_list, lambda name: self._send(name, by_list[name], SENT))
        # Where as many messages lie in the list as should, none is missing and there is none too many.
        odd = {name: one for name, one in before.items() if lengths[name] != one.number}
        self._each(AUDITING, odd, lambda name: self._audit(odd[name]))

    def _each(self, step: str, names: Iterable[str], act: Callable[[str], object]) -> None:
        self._isolation.each(step, map(Item, names), act, ends=AWAY)

    def _send(self, name: str, messages: Sequence[_Message], text: str) -> None:
        """In the order in which they must be sent: what goes to the front, the last one first."""
        for again in (False, True):
            ids = [attempt_id for attempt_id, front in messages if front is again][:: -1 if again else 1]
            for chunk in (ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)):
                self._messages.send(name, chunk, front=again)
                claimed = self._record(name, chunk, text)
                self._messages.remove(name, claimed, ended=claimed)

    def _record(self, name: str, attempt_ids: Sequence[str], text: str) -> list[str]:
        """Those of them that are not queued any more: they were claimed while they were sent, or have ended."""
        try:
            return _record(self._database, name, attempt_ids, text)
        except Exception as error:
            if away(error) and not busy(error) and not refused(error):
                raise
        claimed: list[str] = []  # one of them failed, which must be no harm to the others
        items = [Item(one, _job_of(self._database, one)) for one in attempt_ids]
        self._isolation.each(RECORDING, items, lambda one: claimed.extend(_record(self._database, name, [one], text)))
        return claimed

    def _audit(self, found: _List) -> None:
        """Send again what is missing in a list, and remove what lies there for no reason."""
        name = rq_queue(found.queue, found.priority)
        there = self._messages.entries(name, READ)
        with self._database.read() as session:
            now, rows = Unit(session).now(), _dispatched(session, found)
        # Of a list that is longer than any should be, the rest may hold what is missing here.
        missing = [row for row in rows if row.id not in set(there)] if len(there) < READ else []
        known = self._messages.known([row.id for row in missing])
        # What a worker took may be on its way to the claim; what Redis does not know at all will never be claimed.
        # Below zero: sent before the clock was set back.
        ages = {row.id: abs(now - row.dispatched_at) for row in missing}
        lost = [row for row in missing if ages[row.id] > (self._again if row.id in known else FRESH)]
        self._send(name, [(row.id, row.urgency % 2 == 0) for row in lost], SENT_AGAIN)
        wanted = {row.id for row in rows}
        remove_strays(self._database, self._messages, name, [one for one in there if one not in wanted])


def remove_strays(database: Database, messages: Messages, list_name: str, attempt_ids: Sequence[str]) -> None:
    """Of these messages remove those whose attempts are not queued any more; others are left to the workers."""
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
    for (queue, _, urgency), number in sent.items():
        priority = PRIORITIES[urgency // 2]
        name = rq_queue(queue, priority)
        if name not in failed:
            found.setdefault(name, _List(queue, priority)).number += number
    return found


def _job_of(database: Database, attempt_id: str) -> str | None:
    with database.read() as session:
        return session.scalar(select(Attempt.job_id).where(Attempt.id == attempt_id))


def _record(database: Database, list_name: str, attempt_ids: Sequence[str], text: str) -> list[str]:
    """Note in one transaction that these were sent; those of them that are not queued any more are returned."""
    with database.write() as session:
        unit = Unit(session)
        # The rows of the jobs first, as everywhere, and in one order. Of both only what is needed: they may be large.
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
                    data = {"attempt": attempt.number, "queue": list_name, "times": attempt.dispatches}
                    said = f"attempt {attempt.number} {text}"
                    unit.event(jobs[attempt.job_id], "dispatched", ACTOR, said, **data)
        return [attempt.id for attempt in attempts if attempt.state != AttemptState.QUEUED]
