"""Restores an attempt's state: the newest checkpoint with valid checksums, and the autotuning results that it used."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from baton.domain.errors import JobFailure
from baton.domain.goodput import Bucket
from baton.domain.note_limits import fitting_text
from baton.domain.reasons import Reason
from baton.domain.wire import CheckpointRef, Grant, Phase, Quarantine
from baton.storage import ObjectAccess
from baton.storage.errors import StoreUnavailable
from baton.telemetry import traces
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.attempt.context import AttemptContext
from worker.attempt.copied_checkpoint import as_own, own_programs
from worker.autotuning.resume import doubt, resume
from worker.autotuning.transfer import ResultsTransfer
from worker.checkpointing.checkpoint_files import CheckpointReader, CorruptCheckpoint
from worker.checkpointing.snapshot import Snapshot
from worker.retry import retry_call
from worker.store_access.own_store import wrong_store_as_failure

RESTORE_SECONDS = 600.0
log = logging.getLogger(__name__)


class Restore:
    """Reads the state from which an attempt continues.

    `environment`: the versions and settings on which the exact results of this process depend. An event reports
    differences from the checkpoint's environment. `transfer`: loads the autotuning results of the checkpoint; None
    without a GPU. `folder`: where the files of a program's checkpoint are written; None for a classifier.
    """

    def __init__(
        self,
        client: ServiceClient,
        store: ObjectAccess,
        grant: Grant,
        context: AttemptContext,
        environment: Mapping[str, str],
        transfer: ResultsTransfer | None,
        folder: Path | None = None,
    ) -> None:
        self._client, self._store, self._grant, self._context = client, store, grant, context
        self._environment, self._transfer, self._folder = environment, transfer, folder

    def run(self) -> Snapshot | None:
        """The newest usable checkpoint; None: the job starts from the beginning. Corrupt checkpoints are quarantined.

        Raises:
            JobFailure: the store was unavailable for RESTORE_SECONDS, or has no checkpoint of this job.
        """
        grant, context = self._grant, self._context
        if grant.checkpoints:
            context.tell(Phase.RESTORING)
            errors: list[CorruptCheckpoint] = []
            with context.watch.measure(Bucket.RESTORE), traces.span("restore"):
                for candidate in grant.checkpoints:
                    try:
                        return self._read(candidate)
                    except CorruptCheckpoint as error:
                        quarantine(self._client, self._store, grant, error, context.wait_unless_stopping)
                        errors.append(error)
            if all(error.missing for error in errors):  # from an older service: a newer one ends the attempt itself
                raise JobFailure(Reason.RESTORE_FAILED, f"no checkpoint of this job is in the store: {errors[0]}")
            log.warning("no checkpoint of job %s can be read: starting from the beginning", grant.job_id)
        if self._transfer:
            self._transfer.begin(afresh=self._doubt(0) is not None)
        return None

    def _read(self, found: CheckpointRef) -> Snapshot:
        folder = self._folder and self._folder / found.prefix.rpartition("/")[2]
        reader = CheckpointReader(self._store, found.prefix, found.manifest_crc32c, folder)
        begun = time.monotonic()
        try:
            snapshot, manifest = self._context.retry("reading a checkpoint", reader.read, RESTORE_SECONDS)
            snapshot = as_own(snapshot, manifest, self._grant, found)
        except StoreUnavailable as error:
            text = f"no checkpoint could be read for {RESTORE_SECONDS / 60:.0f} min, the store is unavailable: {error}"
            raise JobFailure(Reason.STORE_UNAVAILABLE, text) from error
        step = snapshot.position.global_step
        log.info("restored step %d in %.2f s", step, time.monotonic() - begun)
        if snapshot.start is not None and not snapshot.start.keeps_position:
            if self._transfer:
                self._transfer.begin(afresh=self._doubt(0) is not None)
            return snapshot
        doubted = self._doubt(step) if self._transfer else None
        programs = own_programs(manifest.programs, self._grant.job_id)
        inexact = resume(self._transfer, programs, self._fetch, doubted, step)
        self._compare(manifest.environment, inexact)
        self._context.note("restored", f"resuming at step {step}", {"prefix": found.prefix})
        return snapshot

    def _fetch(self, name: str) -> bytes:
        return self._context.retry("reading autotuning results", lambda: self._store.get(name), RESTORE_SECONDS)

    def _doubt(self, step: int) -> str | None:
        grant = self._grant
        try:
            attempts = self._client.attempts(grant.attempt_id, grant.job_id) if grant.attempt > 1 else []
        except (Refused, ServiceUnavailable) as error:
            log.warning("could not read how earlier attempts ended: %s", error)
            return None
        return doubt(attempts, grant.attempt, step)

    def _compare(self, before: Mapping[str, str], inexact: str | None) -> None:
        now = self._environment
        differs = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        changes = ", ".join(f"{key} {before.get(key, 'absent')} -> {now.get(key, 'absent')}" for key in differs)
        if text := "; ".join(filter(None, [changes, inexact])):
            self._context.note("resumed_inexactly", f"resumed inexactly: {text}")


def quarantine(
    client: ServiceClient, store: ObjectAccess, grant: Grant, error: CorruptCheckpoint, wait: Callable[[float], object]
) -> None:
    """Reports a corrupt checkpoint, so that no attempt gets it again. Raises JobFailure, LeaseLost, Refused."""
    log.error("a checkpoint cannot be read: %s", error)
    text = fitting_text(str(error))
    message = Quarantine(fence=grant.fence, prefix=error.prefix, message=text, missing=error.missing)
    with wrong_store_as_failure(store):
        retry_call(lambda: client.quarantine(grant.attempt_id, message), wait=wait)
