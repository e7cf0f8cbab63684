"""Checks after the fault injection: the end of each job, its history, its checkpoints and its files."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from baton.domain.manifest import artifact_name, job_prefix
from baton.domain.states import TERMINAL_JOBS, JobState
from baton.storage import BlobStore, NotFound
from service.db.engine import Database
from tests.control_plane.backlog import IS_ORDERED
from tests.control_plane.checker import check
from tests.control_plane.orders import Kind, Order
from tests.control_plane.record import Record, job_ids, load
from tests.support.fake_trainer import ARTIFACT, after
from worker.checkpointing.checkpoint_files import CorruptCheckpoint, read_checkpoint

JOBS_PREFIX = job_prefix("").rstrip("/")


class Chain:
    """The states of an uninterrupted run after each number of steps."""

    def __init__(self) -> None:
        self._states = [b"start"]

    def at(self, steps: int) -> bytes:
        """The state after this many steps."""
        while len(self._states) <= steps:
            self._states.append(after(self._states[-1], len(self._states) - 1))
        return self._states[steps]


@dataclass(frozen=True)
class Invariants:
    """Checks all jobs. All methods return descriptions of what is wrong."""

    database: Database
    store: BlobStore
    orders: dict[str, Order]
    chain: Chain

    def records(self) -> list[Record]:
        """The records of all jobs that users ordered."""
        with self.database.read() as session:
            return [load(session, job) for job in job_ids(session, IS_ORDERED)]

    def unfinished(self) -> list[str]:
        """Jobs that have not ended."""
        return [
            f"{found.job.name} is {found.job.state}/{found.job.desired}: {found.attempts[-1:]}"
            for found in self.records()
            if found.job.state not in TERMINAL_JOBS
        ]

    def of_all(self) -> Iterator[str]:
        """Everything that is wrong."""
        records = self.records()
        if {record.job.id for record in records} != set(self.orders):
            yield f"{len(self.orders)} jobs were accepted, {len(records)} are there"
        for record in records:
            for text in self._of_job(record):
                yield f"{record.job.name} ({record.job.id}): {text}"

    def left_of(self, deleted: Collection[str]) -> list[str]:
        """What is left of deleted jobs: rows, and objects of jobs that have no row."""
        with self.database.read() as session:
            there = set(job_ids(session))
        left = [f"the row of job {job_id}" for job_id in there & set(deleted)]
        objects = (blob.name for blob in self.store.list(f"{JOBS_PREFIX}/"))
        return left + [f"the object {name}" for name in objects if name.split("/")[1] not in there]

    def _of_job(self, record: Record) -> Iterator[str]:
        if record.job.source_job is None:  # the rules of the log do not know copied checkpoints and rows
            yield from map(str, check(record))
        if record.job.deleted_at is not None:
            return  # its objects are deleted, and later its rows: see `left_of`
        yield from self._end(record)
        yield from self._checkpoints(record)
        if record.job.state == JobState.SUCCEEDED:
            yield from self._result(record)

    def _end(self, record: Record) -> Iterator[str]:
        order = self.orders.get(record.job.id)
        if order is not None and order.kind is Kind.DELETED:
            yield "it was not deleted"
        elif order is not None and (record.job.state != order.state or record.job.reason not in order.reasons):
            job = record.job
            yield f"a job that {order.kind} ended as {job.state}, {job.reason}: {job.message}"

    def _checkpoints(self, record: Record) -> Iterator[str]:
        for row in record.checkpoints:
            if row.state != "committed":
                continue
            try:
                snapshot, manifest = read_checkpoint(self.store, row.prefix, row.manifest_crc32c)
            except CorruptCheckpoint as error:
                yield f"a committed checkpoint cannot be read: {error}"
                continue
            owners = (record.job.id, record.job.source_job)
            if manifest.job_id not in owners or (manifest.fence, manifest.position) != (row.fence, row.position):
                yield f"the manifest of {row.prefix} is of {manifest}"
            if snapshot.arrays["state"].tobytes() != self.chain.at(row.global_step):
                yield f"{row.prefix} is not the state after {row.global_step} steps: one is lost, or done twice"

    def _result(self, record: Record) -> Iterator[str]:
        steps = sum((stage.steps_per_epoch or 0) * stage.epochs for stage in record.spec.stages)
        kept = [row.global_step for row in record.checkpoints if row.state == "committed"]
        if not kept or kept[-1] != steps:
            yield f"it succeeded after {steps} steps with checkpoints at {kept}"
        try:
            text = self.store.get(artifact_name(record.job.id, ARTIFACT)).decode()
        except NotFound:
            text = ""
        if text != self.chain.at(steps).hex():
            yield f"{ARTIFACT} is not that of an uninterrupted run: {text or 'not there'}"
