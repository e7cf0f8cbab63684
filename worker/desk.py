"""The runner's side of `Control`: checkpoints, epochs and files go through one outbox under one fence."""

from __future__ import annotations

import logging
import math
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from core.domain.goodput import Bucket, Stopwatch
from core.domain.manifest import artifact_object, checkpoint_prefix
from core.domain.notes import fitting_data, fitting_text
from core.domain.policies import Since, checkpoint_due, interval_seconds
from core.domain.spec import JobSpec
from core.domain.wire import (
    ArtifactCommit,
    BestMetric,
    CheckpointCommit,
    CheckpointRole,
    Directive,
    EpochRecord,
    EpochRow,
    Grant,
    Note,
    Phase,
    Progress,
)
from core.storage import BlobStore
from core.storage.checksum import crc32c_of
from core.telemetry import traces
from worker.checkpointing.files import Owner, Written, read_checkpoint, write_checkpoint
from worker.checkpointing.outbox import Outbox, Parcel
from worker.checkpointing.snapshot import Snapshot
from worker.control import Stop, Stopped, Story
from worker.deadline import Pace
from worker.failures import wrong_store_told
from worker.lease import Lease
from worker.notice import Notice
from worker.programs.carrier import Carrier
from worker.programs.folder import Program
from worker.progress import Waits, advanced
from worker.protocol import Refused, ServiceClient, ServiceUnavailable

# Guesses until a save was measured: small, so that the first one comes soon.
FIRST_STALL_SECONDS, FIRST_SAVE_SECONDS = 0.1, 1.0
_T = TypeVar("_T")
log = logging.getLogger(__name__)
_DIRECTIVES = {Directive.PAUSE: Stop.PAUSED, Directive.CANCEL: Stop.CANCELLED}


def _in_words(phase: Phase, progress: Progress | None, doing: str | None) -> str:
    step = f" at step {progress.global_step}" if progress else ""
    return f"{phase}{step}" + (f": {doing}" if doing else "")


@dataclass(frozen=True)
class _Cost:
    """Of one save: seconds that the loop waited, and seconds of training that the save holds."""

    stall: float
    trained: float


@dataclass(frozen=True)
class _Save:
    """What is written as one checkpoint."""

    prefix: str
    snapshot: Snapshot
    roles: frozenset[CheckpointRole]
    programs: tuple[Program, ...]
    cost: _Cost


class Desk:
    """Implements `worker.control.Control` for one attempt."""

    def __init__(
        self,
        *,
        client: ServiceClient,
        store: BlobStore,
        lease: Lease,
        notice: Notice,
        grant: Grant,
        spec: JobSpec,
        environment: Mapping[str, str],
        pace: Pace,
    ) -> None:
        self._client, self._store, self._lease, self._notice, self._pace = client, store, lease, notice, pace
        self._grant, self._spec = grant, spec
        self._owner = Owner(grant.job_id, grant.attempt_id, grant.fence, environment)
        self._carrier: Carrier | None = None
        # Of the attempt: its checkpoints are written by another thread.
        self._trace = traces.carrier()
        self._numbers = count()
        self._stall_seconds, self._save_seconds = FIRST_STALL_SECONDS, FIRST_SAVE_SECONDS
        self._last_save = time.monotonic()
        self._lease.interval_seconds = interval_seconds(spec, self._since(0))
        left = grant.runtime_left
        self._runtime_ends = math.inf if left is None else time.monotonic() + left
        self._told: tuple[object, ...] = ()
        self.waits = Waits()
        lease.troubles.answered = self.waits.answered
        self.outbox = Outbox(lease.check, lease.lose, lease.troubles)
        self._lost_files: set[tuple[str, str]] = set()

    def carry(self, carrier: Carrier | None) -> None:
        """Has each checkpoint carry the compiled programs that there are by then."""
        self._carrier = carrier

    def stopping(self) -> Stop | None:
        """A preemption notice comes before what the owner wants: the machine will not wait."""
        self._lease.check()
        self.outbox.check()
        self._pace.boundary()
        if self._pace.over:
            self._notice.give(self._pace.cause, self._pace.left, source="deadline")
        if self._notice.given:
            return Stop.PREEMPTED
        ordered = _DIRECTIVES.get(self._lease.directive)
        return Stop.MAX_RUNTIME if ordered is None and time.monotonic() >= self._runtime_ends else ordered

    def tell(
        self,
        phase: Phase,
        progress: Progress | None = None,
        metrics: Mapping[str, float] | None = None,
        doing: str | None = None,
    ) -> None:
        """What the next heartbeat says. What was not said before is progress."""
        told = (phase, progress and progress.global_step, doing)
        if told != self._told:
            self._told = told
            advanced(_in_words(phase, progress, doing))
        self._lease.tell(phase, progress, dict(metrics or {}), doing)

    def stands_at(self, global_step: int) -> None:
        """Kept for the last word on this attempt: what was told last may be some steps behind."""
        self._lease.stands_at = global_step

    def checkpoint_due(self, steps: int) -> bool:
        """Asks the spec's cadence, and whether somebody wants a save now."""
        self._pace.stepped()
        since = self._since(steps)
        self._lease.interval_seconds = interval_seconds(self._spec, since)
        return self._notice.take_save() or checkpoint_due(self._spec, since)

    def _since(self, steps: int) -> Since:
        seconds, between = time.monotonic() - self._last_save, self._grant.seconds_between_interruptions
        return Since(steps, seconds, self._stall_seconds, self._save_seconds, between)

    @property
    def watch(self) -> Stopwatch:
        """The lease's: its sums go with each heartbeat."""
        return self._lease.watch

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._grant.attempt

    def name_checkpoint(self, global_step: int) -> str:
        """A prefix that no other save of this or any other attempt has."""
        return checkpoint_prefix(self._grant.job_id, global_step, self._grant.fence, next(self._numbers))

    def save(self, prefix: str, snapshot: Snapshot, roles: frozenset[CheckpointRole]) -> None:
        """Queues a checkpoint; one that waits is replaced by a newer one that serves all of its roles."""
        self._last_save, self._stall_seconds = time.monotonic(), self.watch.lap()
        cost = _Cost(self._stall_seconds, self.watch.seconds()[Bucket.TRAINING])
        programs = self._carrier.found() if self._carrier else ()
        save, covers = _Save(prefix, snapshot, roles, programs, cost), frozenset(f"checkpoint:{role}" for role in roles)
        self.outbox.put(Parcel(lambda: self._write(save), covers, what="saving"))

    def load(self, prefix: str) -> Snapshot:
        """Reads back what was saved, once it is."""
        with self.watch.measure(Bucket.CHECKPOINT_STALL), self.waits.on("saving before a checkpoint is read"):
            self.outbox.flush()
        read = partial(read_checkpoint, self._store, prefix)
        with self.waits.on("reading a checkpoint"):
            return self._lease.troubles.persist("reading a checkpoint", read, wait=self._pause)[0]

    def epoch(self, row: EpochRow, best: BestMetric | None, stage_finished: bool) -> None:
        """Queues a row of the history."""
        record = EpochRecord(fence=self._grant.fence, row=row, best=best, stage_finished=stage_finished)
        send = partial(self._client.record_epoch, self._grant.attempt_id, record)
        self.outbox.put(Parcel(send, what="recording an epoch"))

    def publish(self, name: str, make: Callable[[Path], None], content_type: str) -> None:
        """Queues a file for people; a version that still waits is replaced."""
        target = artifact_object(self._grant.job_id, self._grant.fence, next(self._numbers), name)
        self.outbox.put(
            Parcel(
                lambda: self._publish(name, target, make, content_type),
                frozenset({f"file:{name}"}),
                optional=True,
                lost=lambda error: self._lost_file(name, error),
                what=f"writing {name}",
            )
        )

    def _lost_file(self, name: str, error: Exception) -> None:
        """Write one event per cause: the same file is written after each epoch."""
        kind = type(error).__name__
        if (name, kind) not in self._lost_files:
            self._lost_files.add((name, kind))
            text = f"the file {name} could not be written, training goes on: {error}"
            self.note("file_failed", text, {"name": name, "error": kind})

    def note(self, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        """Queue an event. Text and data over the service's limits are cut."""
        note = Note(fence=self._grant.fence, kind=kind, message=fitting_text(message), data=fitting_data(data or {}))
        self.outbox.put(Parcel(partial(self._send_note, note), what="telling an event"))

    def _send_note(self, note: Note) -> None:
        """Drop a note that the service refuses: a note must not fail the job."""
        try:
            self._client.note(self._grant.attempt_id, note)
        except Refused as error:
            log.warning("the job's log does not tell of %s: %s", note.kind, error)

    def story(self) -> Story | None:
        """One try: what is told of the job is worth no waiting."""
        try:
            held, job = self._grant.attempt_id, self._grant.job_id
            return Story(self._client.job(held, job), tuple(self._client.attempts(held, job)))
        except (ServiceUnavailable, Refused):
            return None

    def _write(self, save: _Save) -> None:
        # Once for each program, and before the clock starts: it says nothing about what the next save takes.
        programs = self._carrier.send(save.programs) if self._carrier else None
        begun, step = time.monotonic(), save.snapshot.position.global_step
        with traces.span("checkpoint", self._trace, baton__step=step, baton__prefix=save.prefix):
            written = write_checkpoint(self._store, save.prefix, save.snapshot, self._owner, programs)
            self._save_seconds = time.monotonic() - begun
            self._pace.saved(save.cost.stall, self._save_seconds)
            with wrong_store_told(self._store):
                self._client.commit_checkpoint(self._grant.attempt_id, self._commit(save, written))
        if self._carrier:
            self._carrier.keep(save.programs)

    def _commit(self, save: _Save, written: Written) -> CheckpointCommit:
        return CheckpointCommit(
            fence=self._grant.fence,
            prefix=save.prefix,
            manifest_crc32c=written.manifest_crc32c,
            position=save.snapshot.position,
            bytes=written.bytes,
            seconds=self._save_seconds,
            roles=tuple(sorted(save.roles)),
            needs=tuple(p for p in save.snapshot.needs if p != save.prefix),
            stall_seconds=save.cost.stall,
            trained_seconds=save.cost.trained,
        )

    def _publish(self, name: str, target: str, make: Callable[[Path], None], content_type: str) -> None:
        with tempfile.TemporaryDirectory(prefix="baton-") as folder:
            path = Path(folder) / name
            make(path)
            info = self._store.put(target, path, content_type=content_type)
            commit = ArtifactCommit(
                fence=self._grant.fence,
                name=name,
                object=target,
                size=info.size,
                crc32c=crc32c_of(path),
                content_type=content_type,
            )
        with wrong_store_told(self._store):
            self._client.commit_artifact(self._grant.attempt_id, commit)

    def persist(self, what: str, call: Callable[[], _T], seconds: float) -> _T:
        """The result of a call to the store while there is no state to save yet. Also raises LeaseLost and Stopped."""
        with self.waits.on(what):
            return self._lease.troubles.persist(what, call, wait=self.wait_unless_stopping, seconds=seconds)

    def wait_unless_stopping(self, seconds: float) -> None:
        """Sleeps, before there is any state to save. Raises LeaseLost, and Stopped when asked to stop."""
        if self.stopping() is not None:
            raise Stopped
        advanced()  # the service or the store answered that it is away
        time.sleep(seconds)

    def _pause(self, seconds: float) -> None:
        self._lease.check()
        time.sleep(seconds)
