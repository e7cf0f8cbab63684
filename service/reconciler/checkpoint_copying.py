"""Copies checkpoints into jobs that start from another job.

A copy has the bytes of its source and, below the folder of the new job, the same names. So an interrupted step can be
repeated: it finds the objects that are already copied. The rows are added when all objects are in the store.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError
from sqlalchemy import select

from baton.domain.errors import BatonError
from baton.domain.manifest import FORMAT, MANIFEST, FileEntry, Manifest, ManifestHead, own_name
from baton.storage import BlobStore, NotFound
from baton.storage.checksum import Crc32c, crc32c_of
from baton.storage.errors import Corrupted
from service.db.base import IS_PENDING
from service.db.engine import Database
from service.db.tables import CheckpointCopy
from service.db.unit_of_work import Unit
from service.reconciler.artifact_publishing import COPY_SECONDS
from service.reconciler.isolation import ACTOR, Isolation, Item, ready
from service.reconciler.store_pass import BATCH, Pass
from service.reconciler.store_pool import StorePool, Tick
from service.usecases import checkpoint_copies, copied_checkpoints
from service.usecases.checkpoint_copies import Copied

COPY = "copy_checkpoint"
# A separate pool: a large copy delays no other step.
COPIERS = StorePool(4, patience=COPY_SECONDS)


class CannotCopy(BatonError):
    """The source is missing in the store, or is damaged. A repeated copy fails too."""

    code = "cannot-copy"


_PENDING = (
    select(CheckpointCopy)
    .where(IS_PENDING, ready(COPY, CheckpointCopy.job_id))
    .order_by(CheckpointCopy.asked_at)
    .limit(BATCH)
)


def copy_checkpoints(database: Database, store: BlobStore, isolation: Isolation | None = None) -> None:
    """Copy the checkpoints that new jobs wait for. A copy that is not possible fails its job."""
    wanted: dict[str, list[Copied]] = {}

    def find() -> list[Item]:
        with database.read() as session:
            rows = list(session.scalars(_PENDING))
            wanted.update({row.job_id: checkpoint_copies.read(row) for row in rows})
        return [Item(row.job_id, row.job_id) for row in rows]

    def copy(job_id: str, tick: Tick) -> None:
        with database.write() as session:
            if copied_checkpoints.drop_if_over(Unit(session), job_id):
                return
        try:
            for one in wanted[job_id]:
                copy_checkpoint(store, one, job_id, tick)
        except CannotCopy as error:
            with database.write() as session:
                copied_checkpoints.fail(Unit(session), job_id, str(error), ACTOR)
            return
        with database.write() as session:
            copied_checkpoints.complete(Unit(session), job_id, ACTOR)

    def mark(job_ids: Sequence[str]) -> None:
        """Do nothing, because each copy ends in its own transaction."""

    Pass(COPY, store, isolation or Isolation(database), COPIERS).run(find, copy, mark, BATCH)


def copy_checkpoint(store: BlobStore, one: Copied, job_id: str, tick: Tick) -> None:
    """Copy the objects of a checkpoint into a job, the manifest last, and verify them. Raises CannotCopy."""
    data, manifest = _manifest(store, one)
    for file in manifest.files:
        _copy(store, f"{one.prefix}/{file.name}", f"{one.target(job_id)}/{file.name}", file, tick)
    for program in manifest.programs.files if manifest.programs else ():
        try:
            _copy(store, program.object, own_name(job_id, program.object), program, tick)
        except CannotCopy:  # autotuning results only save time: without them a worker measures again
            continue
    store.put(f"{one.target(job_id)}/{MANIFEST}", data)


def _manifest(store: BlobStore, one: Copied) -> tuple[bytes, Manifest]:
    name = f"{one.prefix}/{MANIFEST}"
    try:
        data = store.get(name)
        if crc32c_of(data) != one.manifest_crc32c:
            raise CannotCopy(f"the checkpoint to start from is damaged: {name} differs from the committed one")
        if (found := ManifestHead.model_validate_json(data).format) > FORMAT:
            raise CannotCopy(f"{name} has format {found}; this release of the service reads formats up to {FORMAT}")
        return data, Manifest.model_validate_json(data)
    except NotFound as error:
        raise _gone(name) from error
    except (Corrupted, ValidationError) as error:
        raise CannotCopy(f"the checkpoint to start from is damaged: {name}: {error}") from error


def _copy(store: BlobStore, source: str, target: str, entry: FileEntry, tick: Tick) -> None:
    if _holds(store, target, entry, tick):
        return
    try:
        store.copy(source, target)
    except NotFound as error:
        raise _gone(source) from error
    tick()
    if not _holds(store, target, entry, tick):
        if _holds(store, source, entry, tick):
            raise Corrupted(f"{target} differs from {source} after the copy")
        raise CannotCopy(f"the checkpoint to start from is damaged: {source} does not match its manifest")


def _gone(name: str) -> CannotCopy:
    return CannotCopy(f"the checkpoint to start from was deleted before it was copied: there is no {name}")


def _holds(store: BlobStore, name: str, entry: FileEntry, tick: Tick) -> bool:
    """Whether the object has the size and the checksum of the entry. Reads it in chunks if the store knows none."""
    info = store.stat(name)
    if info is None or info.size != entry.size:
        return False
    if info.crc32c is not None:
        return info.crc32c == entry.crc32c
    total = Crc32c()
    try:
        for chunk in store.open(name):
            total.update(chunk)
            tick()
    except (NotFound, Corrupted):
        return False
    return total.hex == entry.crc32c
