"""Submitting a job, once for each idempotency key."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta

from sqlalchemy import select

from baton.domain.spec import JobSpec, dump_spec, spec_version
from baton.domain.states import AttemptState, DesiredState, JobState
from service.db.tables import Attempt, IdempotencyKey, Job, JobLabel, Stage
from service.db.unit_of_work import Unit, new_id
from service.errors import KeyReused
from service.usecases import attempt_totals
from service.usecases.queue_placement import limits_of, place


def body_digest(body: object) -> str:
    """A digest of the decoded body: the same wish in other white space is the same wish."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()


def submitted_before(unit: Unit, key: str, digest: str) -> Job | None:
    """The job that was submitted with the key. Raises KeyReused if its body was another."""
    row = unit.session.get(IdempotencyKey, key)
    if row is None:
        return None
    if row.body != digest:
        raise KeyReused("this Idempotency-Key came with another body before; draw a new key for a new job")
    return unit.find_job(row.job_id)


def submit(unit: Unit, spec: JobSpec, actor: str) -> Job:
    """Record a job with its stages and its first attempt."""
    now = unit.now()
    job = _job(spec, now)
    unit.session.add(job)
    unit.session.flush()
    unit.session.add_all(_labels(job, spec))
    unit.session.add_all(_stages(job, spec))
    unit.event(job, "submitted", actor, f"job {spec.name} submitted", queue=spec.queue, priority=spec.priority)
    queue_attempt(unit, job, after=0.0, actor=actor)
    return job


def remember(unit: Unit, key: str, digest: str, job: Job) -> None:
    """Keep the key; the primary key makes the second of two racing submissions fail."""
    unit.session.add(IdempotencyKey(key=key, body=digest, job_id=job.id, created_at=unit.now()))
    unit.session.flush()


def _job(spec: JobSpec, now: datetime) -> Job:
    return Job(
        id=new_id(),
        name=spec.name,
        spec=dump_spec(spec),
        spec_version=spec_version(spec),
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
    )


def _labels(job: Job, spec: JobSpec) -> list[JobLabel]:
    return [JobLabel(job_number=job.number, key=key, value=value) for key, value in spec.labels.items()]


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


def queue_attempt(unit: Unit, job: Job, *, after: float, actor: str) -> Attempt:
    """Queue the job's next attempt. It is placed, and may be claimed, `after` seconds from now."""
    now = unit.now()
    job.attempts += 1
    attempt = Attempt(
        id=new_id(),
        job_id=job.id,
        number=job.attempts,
        state=AttemptState.QUEUED.value,
        not_before=now + timedelta(seconds=after),
        created_at=now,
        recovers=job.state == JobState.RECOVERING,
        queue=job.queue,
        job_number=job.number,
    )
    if after <= 0:
        place(attempt, job, limits_of(unit.session))
    if attempt.number > 1:
        # End the previous attempt in the database first: a unique index allows one live attempt per job.
        unit.session.flush()
    unit.session.add(attempt)
    wait = f" in {after:.0f} s" if after else ""
    unit.event(job, "queued", actor, f"attempt {attempt.number} queued{wait}", attempt=attempt.number, after=after)
    return attempt


def last_attempt(unit: Unit, job: Job) -> Attempt | None:
    """The job's newest attempt."""
    query = select(Attempt).where(Attempt.job_id == job.id).order_by(Attempt.number.desc()).limit(1)
    return unit.session.scalar(query)
