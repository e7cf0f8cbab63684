"""Decides which attempts have a message in Redis: a bounded window per list, independent of the queue's length."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from service.db.base import IS_DISPATCHED
from service.db.tables import Attempt
from service.usecases.attempt_limits import Limits
from service.usecases.project_quotas import with_quotas
from service.usecases.queue_backlog import LINE, Key, Line, entries, lines, sent_after
from service.usecases.startable_attempts import Startable, in_order

WINDOW = 500
"""Maximum number of messages per list for attempts of jobs that never ran. All kinds of workers share it."""

BATCH = 500
"""Maximum number of messages sent per pass. All lines with unsent attempts share it (line: see `queue_backlog`)."""

SHARED_WINDOW = 10
"""The same for a list in which jobs of several projects wait, for each kind of worker."""

AGAIN = 2000
"""Maximum number of messages sent per pass for a line of jobs that ran before. These messages go to the front of a
list, in addition to the window."""

# An attempt that an older release queued has no line until the reconciler places it, so it is left out.
_OUTSTANDING: Select[Any] = (
    select(*LINE, func.count()).where(IS_DISPATCHED, Attempt.urgency.is_not(None)).group_by(*LINE)
)


def outstanding(session: Session) -> Counter[Key]:
    """How many attempts of each line have an unclaimed message in Redis."""
    return Counter({(*key,): number for *key, number in session.execute(_OUTSTANDING)})


@dataclass
class Plan:
    """What a pass does. `send`: the attempts to send, most urgent first.

    `withdraw`: attempts by queue and priority whose messages are removed, because others come before them now.
    """

    send: list[Startable] = field(default_factory=list)
    withdraw: dict[tuple[str, str], list[str]] = field(default_factory=dict)


def plan(session: Session, limits: Limits, sent: Counter[Key]) -> Plan:
    """What to send and to withdraw now. `sent`: the unclaimed messages of each line."""
    limits = with_quotas(session, limits)
    waiting = lines(session, limits)
    shared = _shared(waiting)
    alone = [line for line in waiting if (line.queue, line.urgency) not in shared]
    found = _unlimited(session, [line for line in alone if not line.places and not line.alone], sent)
    found += _limited(session, limits, [line for line in alone if line.places or line.alone])
    made = _fair(session, limits, [line for line in waiting if (line.queue, line.urgency) in shared], sent)
    return Plan(sorted(found + made.send, key=lambda one: one.order), made.withdraw)


def _shared(waiting: list[Line]) -> set[tuple[str, int]]:
    """The queues and urgencies in which jobs of several projects wait. Jobs that ran before keep their turn."""
    projects: defaultdict[tuple[str, int], set[str]] = defaultdict(set)
    for line in waiting:
        projects[line.queue, line.urgency].add(line.project)
    return {key for key, names in projects.items() if len(names) > 1 and key[1] % 2 != 0}


def _fair(session: Session, limits: Limits, waiting: list[Line], sent: Counter[Key]) -> Plan:
    """A short window for lists that projects share: a message keeps its place, but the order of the projects changes
    with each attempt that starts and ends.
    """
    left: defaultdict[_Kind, int] = defaultdict(lambda: SHARED_WINDOW)
    last, kept, made = dict[Key, int](), Counter[Key](), Plan()
    for one in in_order(session, limits, waiting, lambda line: left[_kind(line)] > 0) if waiting else ():
        left[_kind(one.line)] -= 1
        last[one.line.key] = max(last.get(one.line.key, -1), one.job_number)
        kept[one.line.key] += one.sent
        if not one.sent:
            made.send.append(one)
    for line in waiting:
        if not line.alone and sent[line.key] - kept[line.key] > SHARED_WINDOW:
            gone = sent_after(session, line, last.get(line.key, -1), BATCH)
            made.withdraw.setdefault((line.queue, line.priority), []).extend(gone)
    return made


_Kind = tuple[str, int, object]


def _kind(line: Line) -> _Kind:
    return line.queue, line.urgency, line.required.worker


def _unlimited(session: Session, waiting: list[Line], sent: Counter[Key]) -> list[Startable]:
    kinds: defaultdict[tuple[str, int], int] = defaultdict(int)
    for line in waiting:
        kinds[line.queue, line.urgency] += 1
    found = []
    for line in waiting:
        share = max(1, WINDOW // kinds[line.queue, line.urgency]) - sent[line.key]
        most = AGAIN if line.again else min(share, max(1, BATCH // len(waiting)))
        if most > 0:
            unsent = entries(session, line, most, unsent=True)
            found += [Startable(one.attempt_id, one.job_number, line) for one in unsent]
    return found


def _limited(session: Session, limits: Limits, waiting: list[Line]) -> list[Startable]:
    """Fill free places under the limits with the most urgent attempts. Attempts that were sent keep their places."""
    left: defaultdict[tuple[str, int], int] = defaultdict(lambda: WINDOW)
    found: list[Startable] = []
    for one in in_order(session, limits, waiting, lambda line: left[line.queue, line.urgency] > 0):
        left[one.line.queue, one.line.urgency] -= 1
        if not one.sent and len(found) < BATCH:
            found.append(one)
    return found
