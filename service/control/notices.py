"""Who is told of what happens to a job: the rows are written in the transaction in which it happens."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from core.domain.errors import FieldError, SpecError
from core.domain.notices import USUAL, Notice, tells_of_recovery
from core.domain.spec import NotifySpec
from service.control import totals
from service.control.notice_text import body, title
from service.db.notices import Notification
from service.db.tables import Job
from service.db.unit import Unit

INFO = "notices"


@dataclass(frozen=True)
class Policy:
    """What the service's settings say of jobs whose spec says nothing."""

    targets: tuple[str, ...] = ()
    on: tuple[Notice, ...] = USUAL
    recoveries: int = 3
    public_url: str | None = None


NOBODY = Policy()


def policy_of(unit: Unit) -> Policy:
    """What the sessions of this service carry along."""
    found: Policy = unit.session.info.get(INFO, NOBODY)
    return found


def check_targets(own: NotifySpec | None, names: Collection[str]) -> None:
    """Raises SpecError where the spec names a target that there is not."""
    known = ", ".join(names) or "none is configured at this service"
    wanted = (own and own.targets) or ()
    odd = [(k, name) for k, name in enumerate(wanted) if name not in names]
    if odd:
        raise SpecError([FieldError(f"notify.targets.{k}", f"unknown target {n!r}; known: {known}") for k, n in odd])


def tell(unit: Unit, job: Job, kind: Notice) -> None:
    """Have those told who are to be. To be called last: the message says how the job stands."""
    policy = policy_of(unit)
    own = NotifySpec.model_validate(job.spec.get("notify") or {})
    targets = dict.fromkeys(policy.targets if own.targets is None else own.targets)
    if not targets or kind not in (policy.on if own.when is None else own.when):
        return
    count = 0
    if kind is Notice.RECOVERING:
        count = totals.of_job(unit, job, live=False).interruptions
        if not tells_of_recovery(count, policy.recoveries if own.recoveries is None else own.recoveries):
            return
    _write(unit, job, kind, count, list(targets))


def _write(unit: Unit, job: Job, kind: Notice, count: int, targets: list[str]) -> None:
    now = unit.now()
    text = body(job, kind, count, now, policy_of(unit).public_url)
    for target in targets:
        row = Notification(
            job_id=job.id,
            kind=kind.value,
            count=count,
            target=target,
            title=title(job, kind),
            body=text,
            created_at=now,
            next_at=now,
        )
        unit.session.add(row)
