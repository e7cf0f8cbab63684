"""Sends the tasks of the upload queue, under one fence: checkpoints, history rows, notes and files."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from baton.domain.wire import (
    ArtifactCommit,
    CheckpointCommit,
    CheckpointRole,
    EpochRecord,
    Grant,
    Note,
)
from baton.storage import ObjectAccess
from baton.storage.checksum import crc32c_of
from baton.telemetry import traces
from worker.api_client.client import Refused, ServiceClient
from worker.autotuning.folder import Results
from worker.autotuning.transfer import ResultsTransfer
from worker.checkpointing.checkpoint_files import Writer, write_checkpoint
from worker.checkpointing.snapshot import Snapshot
from worker.store_access.own_store import wrong_store_as_failure

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SaveCost:
    """The cost of a save in seconds. `stall`: the loop waited. `trained`: training time that the checkpoint covers."""

    stall: float
    trained: float


@dataclass(frozen=True)
class Save:
    """The content of one checkpoint. `first`: what must be stored before its commit, such as points of series."""

    prefix: str
    snapshot: Snapshot
    roles: frozenset[CheckpointRole]
    autotuning: Results | None
    cost: SaveCost
    first: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class File:
    """A file for users. `target`: its object in the store. `make`: writes it to a path."""

    name: str
    target: str
    make: Callable[[Path], None]
    content_type: str


class Sender:
    """Its methods are called by the threads of the upload queue.

    `saved(stall, seconds)`: called after the upload of a checkpoint and before its commit. `stall`: seconds for which
    the save stopped the training loop. `seconds`: duration of the upload. `wanted`: called between an upload and its
    commit; raises if the commit must not be sent any more.
    """

    def __init__(
        self,
        client: ServiceClient,
        store: ObjectAccess,
        grant: Grant,
        owner: Writer,
        *,
        saved: Callable[[float, float], None],
        wanted: Callable[[], None],
    ) -> None:
        self._client, self._store, self._grant, self._owner = client, store, grant, owner
        self._saved, self._wanted = saved, wanted
        self.transfer: ResultsTransfer | None = None
        # Kept here, because the thread that writes the checkpoints does not inherit the trace of the attempt.
        self._trace = traces.carrier()
        self._lock = threading.Lock()
        self._unrecorded: set[int] = set()

    def expect(self, epoch: int) -> None:
        """Marks the row of this epoch as not recorded yet."""
        with self._lock:
            self._unrecorded.add(epoch)

    def first_unrecorded(self) -> int | None:
        """The first epoch whose row is not recorded yet; None if all are."""
        with self._lock:
            return min(self._unrecorded, default=None)

    def record(self, record: EpochRecord) -> None:
        """Sends a row of the history."""
        self._client.record_epoch(self._grant.attempt_id, record)
        with self._lock:
            self._unrecorded.discard(record.row.epoch)

    def note(self, note: Note) -> None:
        """Sends a note. Drops it if the service refuses it: a note must not fail the job."""
        try:
            self._client.note(self._grant.attempt_id, note)
        except Refused as error:
            log.warning("could not add the event %s to the job's log: %s", note.kind, error)

    def save(self, save: Save, rows_from: int | None) -> None:
        """Writes and commits a checkpoint. `rows_from`: see Manifest; it must be the same in each try."""
        # Not part of the measured time: the results are sent only once, so the next save does not take this time.
        programs = self.transfer.send(save.autotuning) if self.transfer else None
        begun, step = time.monotonic(), save.snapshot.position.global_step
        with traces.span("checkpoint", self._trace, baton__step=step, baton__prefix=save.prefix):
            written = write_checkpoint(
                self._store, save.prefix, save.snapshot, self._owner, programs, rows_from, self._wanted
            )
            seconds = time.monotonic() - begun
            self._saved(save.cost.stall, seconds)
            save.first()
            self._wanted()
            commit = CheckpointCommit(
                fence=self._grant.fence,
                prefix=save.prefix,
                manifest_crc32c=written.manifest_crc32c,
                position=save.snapshot.position,
                bytes=written.bytes,
                seconds=seconds,
                roles=tuple(sorted(save.roles)),
                needs=tuple(p for p in save.snapshot.needs if p != save.prefix),
                stall_seconds=save.cost.stall,
                trained_seconds=save.cost.trained,
            )
            with wrong_store_as_failure(self._store):
                self._client.commit_checkpoint(self._grant.attempt_id, commit)
        if self.transfer:
            self.transfer.keep(save.autotuning)

    def publish(self, file: File) -> None:
        """Makes, uploads and commits a file."""
        with tempfile.TemporaryDirectory(prefix="baton-") as folder:
            path = Path(folder) / file.name
            file.make(path)
            info = self._store.put(file.target, path, content_type=file.content_type)
            commit = ArtifactCommit(
                fence=self._grant.fence,
                name=file.name,
                object=file.target,
                size=info.size,
                crc32c=crc32c_of(path),
                content_type=file.content_type,
            )
        self._wanted()
        with wrong_store_as_failure(self._store):
            self._client.commit_artifact(self._grant.attempt_id, commit)
