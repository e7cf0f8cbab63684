"""Artifacts: output files of a job. Each row points to an immutable object in the store."""

from __future__ import annotations

import re
from datetime import timedelta

from sqlalchemy import delete, func, select

from baton.domain.artifact_names import RESERVED_NAMES
from baton.domain.errors import FieldError
from baton.domain.manifest import artifact_name, artifact_parts
from baton.domain.states import HELD_ATTEMPTS
from baton.domain.wire import ArtifactCommit, Note
from service.db.tables import Artifact, Attempt, Event, Garbage, Job
from service.db.unit_of_work import Unit, actor_of, clean, plain
from service.errors import BadMessage, NotFound

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
READER_GRACE = timedelta(minutes=15)
MAX_ARTIFACTS = 1_000
"""Maximum number of artifacts of one job."""


def commit(unit: Unit, attempt_id: str, message: ArtifactCommit) -> Artifact:
    """Point the artifact to a new object and delete the old one after READER_GRACE. Raises LeaseLost, BadMessage."""
    job, attempt = unit.held(attempt_id, message.fence)
    if message.name in RESERVED_NAMES:
        raise BadMessage([FieldError("name", f"no artifact can be called {message.name}")])
    if not _fits(job.id, message):
        raise BadMessage([FieldError("object", "is not the name of this artifact's object in this job and fence")])
    row = unit.session.get(Artifact, (job.id, message.name))
    if row is not None and row.object == message.object:
        return row
    # Two deletions may be planned and must be cancelled. The deletion of this object, because a repeated commit of an
    # older version makes the object current again. And the deletion of the plain name, which retention may have
    # planned before the job was retried.
    names = (message.object, artifact_name(job.id, message.name))
    unit.session.execute(delete(Garbage).where(Garbage.object.in_(names)))
    if row is not None:
        unit.session.merge(Garbage(object=row.object, not_before=unit.now() + READER_GRACE))
    else:
        _check_number(unit, job)
    row = row or Artifact(job_id=job.id, name=message.name)
    row.object, row.size, row.crc32c = message.object, message.size, message.crc32c
    row.content_type, row.fence = clean(message.content_type), message.fence
    row.committed_at = unit.now()
    unit.session.add(row)
    text = f"artifact {message.name} written"
    unit.event(job, "artifact", actor_of(attempt), text, attempt=attempt.number, name=message.name, size=message.size)
    return row


def is_new(unit: Unit, attempt_id: str, message: ArtifactCommit) -> bool:
    """Whether `commit` would point the artifact to another object. False if it would refuse the message."""
    held = (Attempt.id == attempt_id, Attempt.fence == message.fence, Attempt.state.in_(HELD_ATTEMPTS))
    job_id = unit.session.scalar(select(Attempt.job_id).where(*held))
    if job_id is None or message.name in RESERVED_NAMES or not _fits(job_id, message):
        return False
    row = unit.session.get(Artifact, (job_id, message.name))
    return row is None or row.object != message.object


def _fits(job_id: str, message: ArtifactCommit) -> bool:
    parts = artifact_parts(message.object)
    return parts is not None and (parts[0], parts[1], parts[3]) == (job_id, message.fence, message.name)


def _check_number(unit: Unit, job: Job) -> None:
    query = select(func.count()).select_from(Artifact).where(Artifact.job_id == job.id)
    if (unit.session.scalar(query) or 0) >= MAX_ARTIFACTS:
        text = f"the job has {MAX_ARTIFACTS} artifacts, the maximum: reuse a name, or pack several files into one"
        raise BadMessage([FieldError("name", text)])


def find(unit: Unit, job_id: str, name: str) -> Artifact:
    """The artifact with this name. Raises NotFound."""
    job = unit.find_job(job_id)
    row = unit.session.get(Artifact, (job.id, name)) if _NAME.fullmatch(name) else None
    if row is None:
        known = ", ".join(unit.session.scalars(select(Artifact.name).where(Artifact.job_id == job.id).limit(50)))
        raise NotFound(f"the job has no artifact {name[:100]!r}; there are: {known or 'none yet'}")
    return row


def note(unit: Unit, attempt_id: str, message: Note) -> Event:
    """Record an event that the worker defines. Raises LeaseLost."""
    job, attempt = unit.held(attempt_id, message.fence)
    data = {**plain(message)["data"], "attempt": attempt.number}
    return unit.record(job, message.kind, actor_of(attempt), message.message, data)
