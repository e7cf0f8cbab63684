"""Deletes jobs whose deletion was ordered: first their objects, and their rows when no process writes objects any more.

After a kill at any point the deletion can be repeated: a listing of the store finds the objects that are left, and the
job's own row is deleted last.
The objects of several jobs are deleted in parallel. The rows of a batch of jobs are deleted together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

from baton.domain.manifest import job_prefix, programs_prefix
from baton.storage import BlobStore
from service.db.engine import Database
from service.db.tables import Job
from service.db.unit_of_work import Unit
from service.pauses import pause_after
from service.reconciler.isolation import CONDUCTOR, Isolation, Item, ready
from service.reconciler.orphaned_objects import delete_all
from service.reconciler.store_pass import Pass
from service.reconciler.store_pool import StorePool, Tick
from service.usecases import checkpoint_copies, deletion

STEP = "delete_job"
BATCH = 100
CLEANERS = StorePool(4)


COPY_EVERY = timedelta(minutes=5)
"""While checkpoints of the job are copied into another job, its deletion is tried again after this time."""


class StillWritten(Exception):
    """An object of the job appeared while its objects were deleted."""


def delete_jobs(database: Database, store: BlobStore, isolation: Isolation) -> None:
    """Delete the objects of some jobs. Delete the rows of those whose objects are not written any more."""
    again: dict[str, datetime | None] = {}
    needed: dict[str, tuple[str, ...]] = {}

    def find() -> list[Item]:
        with database.read() as session:
            unit = Unit(session)
            found = deletion.due(unit, ready(STEP, Job.id), BATCH)
            copied = checkpoint_copies.read_from_each(unit, [one.job_id for one in found])
            for one in found:
                prefixes = copied.get(one.job_id, ())
                again[one.job_id] = unit.now() + COPY_EVERY if prefixes else one.rows_at
                needed[one.job_id] = _needed_by_copies(one.job_id, prefixes)
        return [Item(one.job_id, one.job_id) for one in found]

    def write(act: Callable[[Unit], bool]) -> bool:
        with database.write_politely() as session:
            return act(Unit(session))

    def remove(job_id: str, tick: Tick) -> None:
        prefix, keep = f"{job_prefix(job_id)}/", needed[job_id]
        with pause_after(2):
            deleted = delete_all(store, prefix, tick, lambda name: not name.startswith(keep))
        # The rows go only after a listing that found nothing.
        if again[job_id] is None and deleted and (late := next(iter(store.list(prefix)), None)) is not None:
            raise StillWritten(f"{late.name} was written during the deletion of its job: it is deleted again")

    def finish(job_ids: Sequence[str]) -> None:
        later = {job_id: at for job_id in job_ids if (at := again[job_id]) is not None}
        if later:
            with database.write() as session:
                deletion.look_again(Unit(session), later)
        if empty := [job_id for job_id in job_ids if job_id not in later]:
            deletion.remove_rows(write, empty, CONDUCTOR)

    Pass(STEP, store, isolation, CLEANERS).run(find, remove, finish, BATCH)


def _needed_by_copies(job_id: str, copied: Collection[str]) -> tuple[str, ...]:
    """The prefixes of the objects that copies still need: the checkpoints, and autotuning results that they name."""
    return (*(f"{prefix}/" for prefix in copied), f"{programs_prefix(job_id)}/") if copied else ()
