"""Submits a job, once for each idempotency key."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from baton.domain.code_bundle import bundle_digest
from baton.domain.lenient_reading import mapping
from baton.domain.projects import DEFAULT
from baton.domain.spec import AnySpec, JobSpec, ProgramJobSpec, dump_spec, spec_version
from baton.domain.states import DesiredState, JobState
from service.db import audit
from service.db.engine import Database
from service.db.tables import IdempotencyKey, Job, JobData, JobLabel, Stage
from service.db.unit_of_work import Unit, new_id
from service.errors import KeyReused, ProjectQuota
from service.principal import Principal
from service.usecases import attempt_totals, checkpoint_copies, code_bundles, origins, project_quotas, pushed_data
from service.usecases.attempt_queue import queue_attempt
from service.usecases.origins import Origin
from service.usecases.programs import check_programs

_V = TypeVar("_V")


def body_digest(body: object) -> str:
    """A digest of the decoded body, independent of white space and key order."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Repeatable:
    """The idempotency key of a submission, if it has one, and the digest of its body."""

    key: str | None
    digest: str


@dataclass(frozen=True)
class Submission:
    """A validated spec, and the job that it is made from, if it names one."""

    spec: AnySpec
    origin: Origin | None = None


def submit_once(
    database: Database,
    caller: Principal,
    repeatable: Repeatable,
    make: Callable[[], Submission],
    show: Callable[[Unit, Job], _V],
) -> tuple[_V, bool]:
    """Submit a job once per idempotency key. Returns the job as `show` renders it, and whether it is new.

    `make` is called for a new job only. The job, its key and its entry in the audit log are one transaction.

    Raises:
        KeyReused: the key was used with another body before.
        Forbidden: the job is a program, and the caller may not start programs; or the caller is bound to other queues.
        ProjectQuota: too many jobs of the project are queued.
        SpecError: the data or the job that the submission names is unknown, or cannot be used.
    """

    def known() -> _V | None:
        if repeatable.key is None:
            return None
        with database.read() as session:
            unit = Unit(session)
            job = submitted_before(unit, caller, repeatable.key, repeatable.digest)
            return None if job is None else show(unit, job)

    if (before := known()) is not None:
        return before, False
    wanted = make()
    caller.check_queues([wanted.spec.queue])
    if isinstance(wanted.spec, ProgramJobSpec):
        check_programs(caller)
    try:
        with database.write() as session:
            unit = Unit(session)
            job = submit(unit, wanted.spec, caller, wanted.origin)
            audit.record(unit, "job_submitted", caller, f"job {job.name} submitted", subject=job.id)
            if repeatable.key is not None:
                remember(unit, caller, repeatable.key, repeatable.digest, job)
            return show(unit, job), True
    except (IntegrityError, ProjectQuota):
        # Another submission with the same key may commit between the two transactions, and take the last place.
        if (before := known()) is None:
            raise
        return before, False


def submitted_before(unit: Unit, caller: Principal, key: str, digest: str) -> Job | None:
    """The job that this caller submitted with the key, if any.

    Raises KeyReused for another body, or if the job was deleted. A key that an older service stored has no principal:
    it counts for every caller of the default project, in which all its jobs are.
    """
    principals = [caller.keys_of, ""] if caller.home == DEFAULT else [caller.keys_of]
    query = select(IdempotencyKey).where(IdempotencyKey.key == key, IdempotencyKey.principal.in_(principals))
    row = unit.session.scalar(query.order_by(IdempotencyKey.principal.desc()).limit(1))
    if row is None:
        return None
    if row.body != digest:
        raise KeyReused("this Idempotency-Key was used with another body before; use a new key for a new job")
    job = unit.find_job(row.job_id, doomed=True)
    if job.deleted_at is not None:
        raise KeyReused("the job of this Idempotency-Key was deleted; use a new key for a new job")
    return job


def submit(unit: Unit, spec: AnySpec, caller: Principal, origin: Origin | None = None) -> Job:
    """Insert a job with its labels and queue its first attempt. A classifier gets its stages, a program its data.

    `origin`: the job that it is made from. Its project is that of the caller; the job of an administrator without one
    is in the project of `origin`, or in the default project.

    Raises SpecError if its data or code is unknown, or `origin` cannot be used, and ProjectQuota.
    """
    project = caller.home if caller.project or origin is None else origins.project_of(unit, origin)
    now, spec = unit.now(), pushed_data.pin(unit, spec, project)
    code_bundles.pin(unit, spec, project)
    job = _job(spec, caller, project, now)
    copies = [] if origin is None else origins.derive(unit, job, spec, origin)
    project_quotas.check_queued(unit, project)  # after all other locks, as in a retry
    unit.session.add(job)
    unit.session.flush()
    if copies:
        checkpoint_copies.ask(unit, job, copies)
    unit.session.add_all(JobLabel(job_number=job.number, key=key, value=value) for key, value in spec.labels.items())
    if isinstance(spec, ProgramJobSpec):
        unit.session.add_all(JobData(job_number=job.number, name=k, reference=v) for k, v in spec.data.items())
    else:
        unit.session.add_all(_stages(job, spec))
    made_from = {"source": job.source_job} if origin is not None else {}
    text = f"job {spec.name} submitted" + _made_from(job)
    unit.event(job, "submitted", caller.name, text, queue=spec.queue, priority=spec.priority, **made_from)
    queue_attempt(unit, job, after=0.0, actor=caller.name)
    return job


def _made_from(job: Job) -> str:
    source = mapping(job.source)
    if not source:
        return ""
    name, point = f"job {source['name']} ({job.source_job})", mapping(source.get("checkpoint"))
    return f", from step {point['global_step']} of {name}" if point else f", a clone of {name}"


def remember(unit: Unit, caller: Principal, key: str, digest: str, job: Job) -> None:
    """Store the caller's key. Its primary key makes the second of two concurrent submissions fail."""
    unit.session.add(
        IdempotencyKey(principal=caller.keys_of, key=key, body=digest, job_id=job.id, created_at=unit.now())
    )
    unit.session.flush()


def _job(spec: AnySpec, caller: Principal, project: str, now: datetime) -> Job:
    code = spec.program.code if isinstance(spec, ProgramJobSpec) else None
    return Job(
        id=new_id(),
        name=spec.name,
        spec=dump_spec(spec),
        spec_version=spec_version(spec),
        data=min(spec.data.values(), default=None) if isinstance(spec, ProgramJobSpec) else spec.dataset.data,
        code=None if code is None else bundle_digest(code),
        labels=dict(spec.labels),
        needs=spec.extensions,
        queue=spec.queue,
        priority=spec.priority,
        state=JobState.QUEUED.value,
        desired=DesiredState.RUN.value,
        version=0,
        fence=0,
        events=0,
        attempts=0,
        preemptions=0,
        failures=0,
        without_progress=0,
        held_seconds=0.0,
        spent=attempt_totals.EMPTY,
        metrics={},
        results={},
        created_at=now,
        project=project,
        owner=caller.name,
    )


def _stages(job: Job, spec: JobSpec) -> list[Stage]:
    return [
        Stage(
            job_id=job.id,
            stage=k,
            name=stage.name or f"stage-{k}",
            epochs=stage.epochs,
            image_size=stage.image_size,
            batch_size=stage.batch_size,
        )
        for k, stage in enumerate(spec.stages, start=1)
    ]
