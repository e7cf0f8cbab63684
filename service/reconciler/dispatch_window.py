"""Decides which attempts have a message in Redis: a bounded window per list, independent of the queue's length."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from service.db.base import IS_DISPATCHED
from service.db.tables import Attempt
from service.usecases.attempt_limits import Limits
from service.usecases.project_quotas import with_quotas
from service.usecases.queue_backlog import LINE, Key, Line, entries, lines
from service.usecases.startable_attempts import Startable, in_order

WINDOW = 500
"""Maximum number of messages per list for attempts of jobs that never ran. All kinds of workers share it."""

BATCH = 500
"""Maximum number of messages sent per pass. All lines with unsent attempts share it (line: see `queue_backlog`)."""

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


def to_send(session: Session, limits: Limits, sent: Counter[Key]) -> list[Startable]:
    """The attempts to send now, most urgent first. `sent`: the unclaimed messages of each line."""
    limits = with_quotas(session, limits)
    waiting = lines(session, limits)
    found = _unlimited(session, [line for line in waiting if not line.places and not line.alone], sent)
    found += _limited(session, limits, [line for line in waiting if line.places or line.alone])
    return sorted(found, key=lambda one: one.order)


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
