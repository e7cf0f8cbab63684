"""Implements `Control` for one attempt: checkpoints, epochs and files go through one upload queue under one fence."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from baton.domain.checkpoint_cadence import Since, checkpoint_due, interval_seconds
from baton.domain.goodput import Bucket, Stopwatch
from baton.domain.manifest import artifact_object, checkpoint_prefix
from baton.domain.note_limits import fitting_data, fitting_text
from baton.domain.spec import AnySpec
from baton.domain.wire import (
    BestMetric,
    CheckpointRole,
    EpochRecord,
    EpochRow,
    Grant,
    Note,
    Phase,
    Progress,
)
from baton.storage import ObjectAccess
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.attempt.lease import Lease
from worker.attempt.protocols import JobRecord, Stop, Stopped
from worker.attempt.rollback import roll_back
from worker.attempt.stops import Stops
from worker.autotuning.transfer import ResultsTransfer
from worker.background import LOOK_SECONDS, run_in_background
from worker.checkpointing.checkpoint_files import Writer, read_checkpoint
from worker.checkpointing.sender import File, Save, SaveCost, Sender
from worker.checkpointing.series_buffer import Point, SeriesBuffer
from worker.checkpointing.snapshot import Snapshot
from worker.checkpointing.upload_queue import UploadQueue, UploadTask
from worker.ipc.progress import Waits, advanced
from worker.preemption.deadline import Pace
from worker.preemption.notice import Notice

# Estimates of the cost of a save until the first one is measured. They are small, so that the first save is early.
FIRST_STALL_SECONDS, FIRST_SAVE_SECONDS = 0.1, 1.0
WAITS_FOR_STATE, WAITS_FOR_FILES = "waits until the last checkpoint is saved", "waits until the last files are written"
_T = TypeVar("_T")


class AttemptContext:
    """Implements `worker.attempt.protocols.Control` for one attempt."""

    def __init__(
        self,
        *,
        client: ServiceClient,
        store: ObjectAccess,
        lease: Lease,
        notice: Notice,
        grant: Grant,
        spec: AnySpec,
        environment: Mapping[str, str],
        pace: Pace,
    ) -> None:
        self._client, self._store, self._lease, self._notice, self._pace = client, store, lease, notice, pace
        self._grant, self._spec = grant, spec
        owner = Writer(grant.job_id, grant.attempt_id, grant.fence, environment)
        self._numbers = count()
        self._stall_seconds, self._save_seconds = FIRST_STALL_SECONDS, FIRST_SAVE_SECONDS
        self._last_save = time.monotonic()
        self._lease.interval_seconds = interval_seconds(spec, self._since(0))
        self._stops = Stops(lease, notice, pace, grant.runtime_left)
        self._reported: tuple[object, ...] = ()
        self.waits = Waits()
        lease.troubles.answered = self.waits.answered
        self.uploads = UploadQueue(lease.check, lease.lose, lease.troubles)
        wanted = self.uploads.still_wanted
        self._sender = Sender(client, store, grant, owner, saved=self._measured, wanted=wanted)
        self._lost_files: set[tuple[str, str]] = set()
        self._series = SeriesBuffer(client, grant, self.uploads.put, self.note)

    def use_transfer(self, transfer: ResultsTransfer | None) -> None:
        """Stores the autotuning results with each checkpoint."""
        self._sender.transfer = transfer

    def _measured(self, stall: float, seconds: float) -> None:
        self._save_seconds = seconds
        self._pace.saved(stall, seconds)

    def stopping(self) -> Stop | None:
        """The most urgent stop: a cancellation (needs no save), else a preemption (has little time), else any other."""
        self._pace.boundary()
        return self.wanted_stop()

    def wanted_stop(self) -> Stop | None:
        """As `stopping`, at any time between two step boundaries. Raises LeaseLost."""
        self._lease.check()
        self.uploads.check()
        wanted = self._stops.wanted()
        if wanted is Stop.CANCELLED:
            self.uploads.cancel()
        return wanted

    def tell(
        self,
        phase: Phase,
        progress: Progress | None = None,
        metrics: Mapping[str, float] | None = None,
        doing: str | None = None,
    ) -> None:
        """Sets the content of the next heartbeat. A change of phase, step or `doing` counts as progress."""
        reported = (phase, progress and progress.global_step, doing)
        if reported != self._reported:
            self._reported = reported
            step = f" at step {progress.global_step}" if progress else ""
            advanced(f"{phase}{step}" + (f": {doing}" if doing else ""))
        self._lease.tell(phase, progress, dict(metrics or {}), doing)

    def stands_at(self, global_step: int) -> None:
        """Stores the step for the message that ends the attempt: the last heartbeat may be some steps behind."""
        self._lease.stands_at = global_step

    def checkpoint_due(self, steps: int) -> bool:
        """Whether a save is due now, by the spec's cadence or because of a notice."""
        self._pace.stepped()
        transfer = self._sender.transfer
        if transfer and steps and (lacking := transfer.check()):
            self.note("exact_resume_not_promised", f"a resume of this job may not be exact: {lacking}")
        since = self._since(steps)
        self._lease.interval_seconds = interval_seconds(self._spec, since)
        return self._notice.take_save() or checkpoint_due(self._spec, since)

    def _since(self, steps: int) -> Since:
        seconds, between = time.monotonic() - self._last_save, self._grant.seconds_between_interruptions
        return Since(steps, seconds, self._stall_seconds, self._save_seconds, between)

    @property
    def watch(self) -> Stopwatch:
        """The stopwatch of the lease. Each heartbeat reports its sums."""
        return self._lease.watch

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self._grant.job_id

    @property
    def fence(self) -> int:
        """The fencing token of this attempt."""
        return self._grant.fence

    @property
    def attempt(self) -> int:
        """The number of this attempt, from 1."""
        return self._grant.attempt

    @property
    def store(self) -> ObjectAccess:
        """The store of the job."""
        return self._store

    def name_checkpoint(self, global_step: int) -> str:
        """A prefix that no other save of any attempt has."""
        return checkpoint_prefix(self._grant.job_id, global_step, self._grant.fence, next(self._numbers))

    def save(
        self,
        prefix: str,
        snapshot: Snapshot,
        roles: frozenset[CheckpointRole],
        *,
        stall: float | None = None,
        last_point: int | None = None,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """Queues a checkpoint. The new checkpoint replaces a waiting one if it has all roles of the waiting one.

        `stall`: seconds for which the save stopped the training; None: since the last change of the stopwatch.
        `last_point`: the points of series up to this step are sent before the commit. `settled`: see UploadTask.
        """
        self._last_save, self._stall_seconds = time.monotonic(), self.watch.lap() if stall is None else stall
        cost = SaveCost(self._stall_seconds, self.watch.seconds()[Bucket.TRAINING])
        transfer = self._sender.transfer
        first = partial(self._series.flush, last_point) if last_point is not None else lambda: None
        save = Save(prefix, snapshot, roles, transfer.found() if transfer else None, cost, first)
        # Cached, so that a second try writes the same bytes.
        rows_from = cache(self._sender.first_unrecorded)
        covers = frozenset(f"checkpoint:{role}" for role in roles)
        self.uploads.put(
            UploadTask(lambda: self._sender.save(save, rows_from()), covers, saves=True, what="saving", settled=settled)
        )

    def series(self, points: Sequence[Point], *, now: bool = False) -> None:
        """Queues points of series. They are sent every two seconds, or `now`."""
        self._series.add(points, now=now)

    def roll_back(self, after_step: int, after_epoch: int, best: BestMetric | None) -> None:
        """Deletes the points and the rows after these, which earlier attempts sent. Raises LeaseLost and Stopped."""
        roll_back(self._client, self._grant, self.retry, after_step, after_epoch, best)

    def seconds_to_save(self, stop: Stop) -> float | None:
        """Seconds within which the training must have made its last save for this stop; None: no limit."""
        return self._stops.seconds_to_save(stop, self._save_seconds)

    def load(self, prefix: str) -> Snapshot:
        """Waits until the checkpoint is saved, and reads it. Raises Stopped if the attempt is to end before that."""
        with self.watch.measure(Bucket.CHECKPOINT_STALL), self.waits.on("saving before a checkpoint is read"):
            self.settle(files=False)
        if self.uploads.cancelled:
            raise Stopped
        return self.retry("reading a checkpoint", partial(read_checkpoint, self._store, prefix))[0]

    def settle(self, *, files: bool, seconds: float | None = None) -> bool:
        """Waits until the queue is sent, with or without its files. Returns False if that takes longer than `seconds`.

        Raises Stopped if the attempt is to end before that. Meanwhile the status shows the wait.
        """
        until = math.inf if seconds is None else time.monotonic() + seconds
        phase, waiting = self._lease.phase, False
        while not self.uploads.flush(seconds=LOOK_SECONDS, files=files):
            self.raise_if_stopping()
            if time.monotonic() > until:
                return False
            if not waiting:
                waiting = True
                self._lease.tell(phase, doing=WAITS_FOR_FILES if files else WAITS_FOR_STATE)
        if waiting:
            self._lease.tell(phase)
        return True

    def epoch(self, row: EpochRow, best: BestMetric | None, stage_finished: bool) -> None:
        """Queues a row of the history."""
        record = EpochRecord(fence=self._grant.fence, row=row, best=best, stage_finished=stage_finished)
        self._sender.expect(row.epoch)
        self.uploads.put(UploadTask(partial(self._sender.record, record), yields=True, what="recording an epoch"))

    def publish(
        self,
        name: str,
        make: Callable[[Path], None],
        content_type: str,
        lost: Callable[[], None] = lambda: None,
        *,
        settled: Callable[[], None] = lambda: None,
    ) -> None:
        """Queues a file for users. It replaces a waiting version of this file. `lost`: called if the write fails.

        `settled`: see UploadTask.
        """
        target = artifact_object(self._grant.job_id, self._grant.fence, next(self._numbers), name)
        self.uploads.put(
            UploadTask(
                partial(self._sender.publish, File(name, target, make, content_type)),
                frozenset({f"file:{name}"}),
                optional=True,
                saves=True,
                lost=lambda error: self._lost_file(name, error, lost),
                what=f"writing {name}",
                settled=settled,
            )
        )

    def _lost_file(self, name: str, error: Exception, lost: Callable[[], None]) -> None:
        """Adds one event for each file and kind of error: a file is written after each epoch, so errors may repeat."""
        lost()
        kind = type(error).__name__
        if (name, kind) not in self._lost_files:
            self._lost_files.add((name, kind))
            text = f"the file {name} could not be written; training continues: {error}"
            self.note("file_failed", text, {"name": name, "error": kind})

    def note(self, kind: str, message: str, data: Mapping[str, Any] | None = None) -> None:
        """Queues an event. Text and data over the service's limits are cut."""
        note = Note(fence=self._grant.fence, kind=kind, message=fitting_text(message), data=fitting_data(data or {}))
        self.uploads.put(UploadTask(partial(self._sender.note, note), what="sending an event"))

    def job_record(self) -> JobRecord | None:
        """The job and its attempts; None if the service does not answer. One try: this information is not essential."""
        try:
            held, job = self._grant.attempt_id, self._grant.job_id
            return JobRecord(self._client.job(held, job), tuple(self._client.attempts(held, job)))
        except (ServiceUnavailable, Refused):
            return None

    def retry(self, what: str, call: Callable[[], _T], seconds: float | None = None) -> _T:
        """The result of a call to the store, with retries. While it runs, this may raise LeaseLost and Stopped."""
        watched = partial(run_in_background, call, self.raise_if_stopping)
        with self.waits.on(what):
            return self._lease.troubles.retry_call(what, watched, wait=self.wait_unless_stopping, seconds=seconds)

    def wait_unless_stopping(self, seconds: float) -> None:
        """Sleeps between two tries. Raises LeaseLost, and Stopped when asked to stop."""
        advanced()  # the last try has ended: an outage is not a stall
        until = time.monotonic() + seconds
        while True:
            self.raise_if_stopping()
            if (left := until - time.monotonic()) <= 0:
                return
            time.sleep(min(left, LOOK_SECONDS))

    def raise_if_stopping(self) -> None:
        """Raises Stopped when asked to stop, and LeaseLost."""
        if self.stopping() is not None:
            raise Stopped
