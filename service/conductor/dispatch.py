"""Sends a message to Redis for each attempt that may start. Runs apart from the expiry of leases."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from core.domain.queues import rq_queue
from core.domain.states import AttemptState
from service.conductor.messages import Messages
from service.control.limits import Limits
from service.control.startable import Startable, startable
from service.db.engine import Database
from service.db.unit import Unit

ACTOR = "conductor"
FRESH = timedelta(seconds=1)


def dispatch(database: Database, messages: Messages, again_seconds: float, limits: Limits) -> None:
    """Send a message for each attempt that may start, and again for one whose message got lost."""
    now, due = _due(database, limits)
    sent = {one.attempt_id: one for one in due if one.dispatched_at is not None}
    for one in _in_order(one for one in due if one.dispatched_at is None):
        _send(database, messages, one, "dispatched")
    for one in _in_order(_lost(messages, sent, now, timedelta(seconds=again_seconds))):
        _send(database, messages, one, "dispatched again: its message was gone and nobody had claimed it")


def _due(database: Database, limits: Limits) -> tuple[datetime, list[Startable]]:
    with database.read() as session:
        return Unit(session).now(), list(startable(session, limits))


def _in_order(due: Iterable[Startable]) -> list[Startable]:
    """As they must be sent for their lists to be in order: what goes to the front, the last one first."""
    found = list(due)
    return [one for one in found if not one.again] + [one for one in reversed(found) if one.again]


def _lost(messages: Messages, sent: dict[str, Startable], now: datetime, again: timedelta) -> list[Startable]:
    if not sent:
        return []
    taken = set(sent) - messages.waiting(sorted({_list(one) for one in sent.values()}))
    known = messages.known(taken)
    # What a worker took may be on its way to the claim; what Redis does not know at all will never be claimed.
    return [one for id_, one in sent.items() if id_ in taken and _age(one, now) > (again if id_ in known else FRESH)]


def _list(one: Startable) -> str:
    return rq_queue(one.queue, one.priority)


def _age(one: Startable, now: datetime) -> timedelta:
    return now - (one.dispatched_at or now)


def _send(database: Database, messages: Messages, one: Startable, text: str) -> None:
    messages.send(_list(one), one.attempt_id, front=one.again)
    with database.write() as session:
        unit = Unit(session)
        job, attempt = unit.lock_attempt(one.attempt_id)
        if attempt.state != AttemptState.QUEUED:
            return
        attempt.dispatched_at = unit.now()
        attempt.dispatches += 1
        data = {"attempt": attempt.number, "queue": _list(one), "times": attempt.dispatches}
        unit.event(job, "dispatched", ACTOR, f"attempt {attempt.number} {text}", **data)
