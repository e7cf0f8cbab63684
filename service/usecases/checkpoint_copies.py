"""Requests to copy checkpoints of another job (the source) into a job that starts from them.

The job waits until the copy is complete. Until then, the checkpoints of the source are kept. The row of a request
contains everything that the copy needs, so the rows of the source may be deleted before the copy is complete.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import timedelta

from sqlalchemy import select

from baton.domain.lenient_reading import mapping, number_or
from baton.domain.manifest import own_name
from baton.domain.message_base import Message, Position
from service.db.base import IS_PENDING
from service.db.tables import Checkpoint, CheckpointCopy, Job
from service.db.unit_of_work import Unit

PENDING, FAILED = "pending", "failed"
HELD_BACK = timedelta(days=36_500)
"""How far in the future an attempt is due whose job waits for a copy. The end of the copy makes the attempt due."""


class Copied(Message):
    """A checkpoint to copy. `position`: the position that the copy has in the new job.

    `prefix`: of the checkpoint in the source. `needs`: the prefixes of the other checkpoints in the source that this
    checkpoint needs. The other fields are those of `service.db.checkpoint_tables.Checkpoint`.
    """

    prefix: str
    manifest_crc32c: str
    fence: int
    position: Position
    bytes: int
    roles: list[str]
    needs: list[str]

    @classmethod
    def of(cls, row: Checkpoint) -> Copied:
        """The request to copy this checkpoint. The copy has the same position and the same needs."""
        return cls(
            prefix=row.prefix,
            manifest_crc32c=row.manifest_crc32c,
            fence=row.fence,
            position=Position(stage=row.stage, epoch=row.epoch, step=row.step, global_step=row.global_step),
            bytes=row.bytes,
            roles=row.roles,
            needs=row.needs,
        )

    def target(self, job_id: str) -> str:
        """The prefix of the copy."""
        return own_name(job_id, self.prefix)


def ask(unit: Unit, job: Job, checkpoints: Iterable[Copied]) -> None:
    """Ask the reconciler to copy these checkpoints of the source into the job. `checkpoints`: oldest first."""
    rows = [one.model_dump(mode="json") for one in checkpoints]
    unit.session.add(
        CheckpointCopy(job_id=job.id, source_job=job.source_job, checkpoints=rows, state=PENDING, asked_at=unit.now())
    )
    unit.session.flush()


def read(row: CheckpointCopy) -> list[Copied]:
    """The checkpoints to copy, oldest first."""
    return [Copied.model_validate(one) for one in row.checkpoints]


def wanted(unit: Unit, job: Job) -> bool:
    """Whether the next attempt of the job must wait for a copy. A copy that failed is requested again by this call."""
    row = unit.session.get(CheckpointCopy, job.id) if job.source_job else None
    if row is None:
        return False
    row.state = PENDING
    return True


def is_pending(unit: Unit, job: Job) -> bool:
    """Whether a copy for this job was requested and is not complete."""
    return job.source_job is not None and unit.session.get(CheckpointCopy, job.id) is not None


def targets(unit: Unit, job_id: str) -> set[str]:
    """The prefixes of this job into which checkpoints of another job are being copied."""
    row = unit.session.get(CheckpointCopy, job_id)
    return set() if row is None or row.state != PENDING else {one.target(job_id) for one in read(row)}


def read_from(unit: Unit, job_id: str) -> set[str]:
    """The prefixes of this job's checkpoints that are being copied into other jobs. They must be kept."""
    return read_from_each(unit, [job_id]).get(job_id, set())


def read_from_each(unit: Unit, job_ids: Collection[str]) -> dict[str, set[str]]:
    """Like `read_from` for several jobs, by id. Jobs from which nothing is copied are left out."""
    query = select(CheckpointCopy).where(IS_PENDING, CheckpointCopy.source_job.in_(job_ids))
    found: dict[str, set[str]] = {}
    for row in unit.session.scalars(query) if job_ids else ():
        found.setdefault(row.source_job, set()).update(one.prefix for one in read(row))
    return found


def waits(unit: Unit, jobs: Collection[Job]) -> dict[str, str]:
    """Texts that describe the copies for which these jobs wait, by job id. Jobs that wait for no copy are left out."""
    derived = {job.id: job for job in jobs if job.source_job}
    if not derived:
        return {}
    query = select(CheckpointCopy.job_id).where(CheckpointCopy.job_id.in_(derived))
    return {job_id: in_words(derived[job_id]) for job_id in unit.session.scalars(query)}


def in_words(job: Job) -> str:
    """A text for users that describes the copy for this job."""
    source = mapping(job.source)
    step = number_or(mapping(source.get("checkpoint")).get("global_step"))
    return f"the copy of the checkpoint at step {step:.0f} of job {source.get('name')} ({job.source_job})"
