"""Changes fields of an existing job that do not affect what it trains, such as name, labels, notes and limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete

from baton.domain.job_changes import OF_THE_JOB, OF_THE_SPEC, changed_spec, parse_change
from baton.domain.lenient_reading import mapping, names
from baton.domain.queues import rq_queue
from baton.domain.spec import AnySpec, dump_spec, parse_spec, spec_version
from baton.domain.states import HELD_ATTEMPTS, AttemptEvent, AttemptState, DesiredState
from service.db.tables import Attempt, Job, JobLabel
from service.db.unit_of_work import Unit
from service.errors import ChangedMeanwhile
from service.usecases import run_limits, usage
from service.usecases.job_control import end_unclaimed, pause_for
from service.usecases.notifications import check_targets
from service.usecases.queue_order import limits_of, place

READ_BY_WORKERS = ("checkpoint", "limits")
SHOWN = 300
"""The most characters of an old or new text in the event. Notes can be long, and each change adds an event."""


@dataclass(frozen=True)
class Changed:
    """The job after a change. `fields`: the changed fields.

    `outdated`: the RQ queue and the attempt id of a message that is in the queue of the old priority, if there is one.
    """

    job: Job
    fields: tuple[str, ...] = ()
    outdated: tuple[str, str] | None = None


def change(
    unit: Unit,
    job_id: str,
    actor: str,
    patch: object,
    *,
    versions: Collection[int] | None = None,
    targets: Collection[str] = (),
) -> Changed:
    """Apply a merge patch to the job. If it changes anything, an event with the old and new values is added.

    `versions`: the change is made only if the job has one of these versions. `targets`: names of notification targets.

    Raises:
        SpecError: a field cannot be changed, or the changed spec is invalid.
        ChangedMeanwhile: the job has another version.
    """
    wanted = parse_change(patch)
    job = unit.lock_job(job_id)
    if versions is not None and job.version not in versions:
        raise ChangedMeanwhile(f"the job has version {job.version} now: get it again, then repeat the change")
    before = mapping(job.spec)
    # The extensions of an accepted job stay valid, even if no worker has them now.
    spec = parse_spec(changed_spec(before, wanted), names(job.needs))
    if "notify" in wanted:
        check_targets(spec.notify, targets)
    if "limits" in wanted:
        run_limits.check_budget(spec.limits, priced=bool(usage.prices_of(unit.session)))
    after = dump_spec(spec)
    old = {name: before.get(name) for name in wanted if name in OF_THE_SPEC}
    old |= {name: getattr(job, name) for name in wanted if name in OF_THE_JOB}
    new = {name: wanted[name] if name in OF_THE_JOB else after.get(name) for name in wanted}
    fields = tuple(name for name in wanted if new[name] != old[name])
    if not fields:
        return Changed(job)
    outdated = _apply(unit, job, spec, {name: new[name] for name in fields})
    changes = {name: {"old": _shown(old[name]), "new": _shown(new[name])} for name in fields}
    unit.event(job, "changed", actor, _text(unit, job, fields), changes=changes)
    if "limits" in fields:
        _pause_beyond(unit, job, actor)
    return Changed(job, fields, outdated)


def _apply(unit: Unit, job: Job, spec: AnySpec, new: Mapping[str, Any]) -> tuple[str, str] | None:
    for name in OF_THE_JOB:
        if name in new:
            setattr(job, name, new[name])
    # Only the changed parts are written. Training reads the other parts, and they stay exactly as submitted.
    parts = {name: value for name, value in new.items() if name in OF_THE_SPEC}
    kept = {name: value for name, value in mapping(job.spec).items() if name not in parts}
    job.spec = {**kept, **{name: value for name, value in parts.items() if value is not None}}
    job.spec_version, job.name = spec_version(spec), spec.name
    if "labels" in new:
        _relabel(unit, job, dict(spec.labels))
    before, job.priority = job.priority, spec.priority
    return _replace(unit, job, before)


def _relabel(unit: Unit, job: Job, labels: dict[str, str]) -> None:
    old, job.labels = mapping(job.labels), labels
    gone = [key for key in old if labels.get(key) != old[key]]
    unit.session.execute(delete(JobLabel).where(JobLabel.job_number == job.number, JobLabel.key.in_(gone)))
    added = {key: value for key, value in labels.items() if old.get(key) != value}
    unit.session.add_all(JobLabel(job_number=job.number, key=key, value=value) for key, value in added.items())


def _replace(unit: Unit, job: Job, priority: str) -> tuple[str, str] | None:
    """Place a waiting attempt by the new priority. Returns its message in Redis if the message is in the old queue."""
    attempt = unit.live_attempt(job)
    if attempt is None or attempt.state != AttemptState.QUEUED or attempt.urgency is None:
        return None
    place(attempt, job, limits_of(unit.session))
    if attempt.dispatched_at is None or job.priority == priority:
        return None
    attempt.dispatched_at = None  # the next pass of the reconciler sends it to the queue of its priority
    return rq_queue(job.queue, priority), attempt.id


def _pause_beyond(unit: Unit, job: Job, actor: str) -> None:
    """Pause a waiting job that has reached a limit, which was lowered. The reconciler does it for a held one."""
    attempt = unit.live_attempt(job)
    if attempt is None or attempt.state != AttemptState.QUEUED or job.desired != DesiredState.RUN:
        return
    limit = run_limits.reached(unit, job, attempt)
    if limit is not None:
        end_unclaimed(unit, job, actor, attempt, AttemptEvent.PAUSED)
        pause_for(unit, job, actor, limit.reason, limit.text)


def _text(unit: Unit, job: Job, fields: Collection[str]) -> str:
    text = f"changed: {', '.join(fields)}"
    later = [name for name in READ_BY_WORKERS if name in fields]
    attempt: Attempt | None = unit.live_attempt(job) if later else None
    if attempt is not None and attempt.state in HELD_ATTEMPTS:
        text += f"; a worker reads {' and '.join(later)} with its next claim"
    return text


def _shown(value: Any) -> Any:
    return f"{value[:SHOWN]}…" if isinstance(value, str) and len(value) > SHOWN else value
