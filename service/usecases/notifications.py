"""Writes notifications about events of jobs, in the same transaction as the event (transactional outbox)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite

from baton.domain.errors import FieldError, SpecError
from baton.domain.lenient_reading import mapping, read_stored
from baton.domain.notifications import USUAL, NotificationKind, tells_of_recovery
from baton.domain.spec import NotifySpec
from service.db.notification_table import Notification
from service.db.tables import Job
from service.db.unit_of_work import Unit
from service.usecases import attempt_totals
from service.usecases.notification_text import body, title

INFO = "notices"
_INSERT: dict[str, Callable[..., Any]] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}


@dataclass(frozen=True)
class Policy:
    """The service's notification settings. They apply to jobs whose spec has no such settings."""

    targets: tuple[str, ...] = ()
    on: tuple[NotificationKind, ...] = USUAL
    recoveries: int = 3
    public_url: str | None = None


NO_TARGETS = Policy()


def policy_of(unit: Unit) -> Policy:
    """The policy of the service that this unit's session belongs to."""
    found: Policy = unit.session.info.get(INFO, NO_TARGETS)
    return found


def check_targets(own: NotifySpec | None, names: Collection[str]) -> None:
    """Raises SpecError if the spec names an unknown target."""
    known = ", ".join(names) or "none is configured at this service"
    wanted = (own and own.targets) or ()
    odd = [(k, name) for k, name in enumerate(wanted) if name not in names]
    if odd:
        raise SpecError([FieldError(f"notify.targets.{k}", f"unknown target {n!r}; known: {known}") for k, n in odd])


def notify(unit: Unit, job: Job, kind: NotificationKind, attempt: int = 0) -> None:
    """Notify the job's targets. Call this after all changes of the job, because the message shows its state.

    `attempt`: its number, if the same can happen in a later attempt, such as a failure after a retry. Then there is one
    message per attempt.
    """
    targets, count = _targets(unit, _own(job), kind), attempt
    if targets and kind is NotificationKind.RECOVERING:
        count, own = attempt_totals.of_job(unit, job, live=False).interruptions, _own(job)
        recoveries = policy_of(unit).recoveries if own.recoveries is None else own.recoveries
        if not tells_of_recovery(count, recoveries):
            return
    _write(unit, job, kind, count, targets)


def notify_once(unit: Unit, job: Job, kind: NotificationKind, attempt: int, detail: str) -> None:
    """Like `notify`, at most once per attempt, for conditions that may recur. `detail`: a sentence about the cause."""
    _write(unit, job, kind, attempt, _targets(unit, _own(job), kind), detail)


def _own(job: Job) -> NotifySpec:
    return read_stored(NotifySpec, mapping(job.spec).get("notify"))


def _targets(unit: Unit, own: NotifySpec, kind: NotificationKind) -> list[str]:
    policy = policy_of(unit)
    if kind not in (policy.on if own.when is None else own.when):
        return []
    return list(dict.fromkeys(policy.targets if own.targets is None else own.targets))


def _write(
    unit: Unit, job: Job, kind: NotificationKind, count: int, targets: list[str], detail: str | None = None
) -> None:
    if not targets:
        return
    now = unit.now()
    text = body(job, kind, count, now, policy_of(unit).public_url, detail)
    same = {"job_id": job.id, "kind": kind.value, "count": count, "title": title(job, kind), "body": text}
    rows = [{**same, "target": target, "created_at": now, "next_at": now} for target in targets]
    # Skip messages that already exist. A duplicate key would be an error, and roll back the whole transaction, with the
    # change of the job that the message reports.
    insert = _INSERT[unit.session.get_bind().dialect.name](Notification).values(rows)
    unit.session.execute(insert.on_conflict_do_nothing(index_elements=["job_id", "kind", "count", "target"]))
