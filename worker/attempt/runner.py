"""One attempt from claim to finish: claim, restore, train, hand over. Knows no TensorFlow."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from baton.domain.errors import JobFailure, LeaseLost
from baton.domain.goodput import Bucket
from baton.domain.note_limits import fitting_text
from baton.domain.policies import Reason
from baton.domain.spec import JobSpec, parse_spec
from baton.domain.store_identity import STORE_UNREACHABLE, WRONG_STORE
from baton.domain.wire import (
    CheckpointRef,
    Claim,
    Finish,
    Grant,
    Outcome,
    Phase,
    Quarantine,
    WorkerInfo,
)
from baton.storage import BlobStore
from baton.storage.errors import StoreUnavailable
from baton.telemetry import traces
from worker.api_client.client import GrantUnreadable, Refused, ServiceClient, ServiceUnavailable
from worker.attempt.context import AttemptContext
from worker.attempt.failures import (
    bare,
    failed,
)
from worker.attempt.handover import hand_over, send_the_rest
from worker.attempt.lease import Lease
from worker.attempt.preemption_reporter import PreemptionReporter
from worker.attempt.protocols import Stop, Stopped, Trainer, Workspace
from worker.autotuning.resume import doubt, resume
from worker.autotuning.transfer import Compiler, ResultsTransfer
from worker.checkpointing.files import CorruptCheckpoint, read_checkpoint
from worker.checkpointing.snapshot import Snapshot
from worker.extensions import installed
from worker.ipc.progress import CELL, advanced
from worker.preemption.deadline import NO_DEADLINE, Cost, Deadline, Pace
from worker.preemption.notice import Notice
from worker.retry import retry_call
from worker.store_identity import describe_in_time, wrong_store_told

CLAIM_SECONDS = 60.0
FINISH_SECONDS = 600.0
UNPROCESSABLE = 422
RESTORE_SECONDS = 600.0
RUNTIME_OVER = "workers held the job for {:.0f} s, which is its limit (limits.max_runtime)"
_OUTCOMES = {
    Stop.PREEMPTED: (Outcome.PREEMPTED, Reason.PREEMPTED),
    Stop.PAUSED: (Outcome.PAUSED, Reason.PAUSED),
    Stop.CANCELLED: (Outcome.CANCELLED, Reason.CANCELLED),
    Stop.MAX_RUNTIME: (Outcome.FAILED, Reason.MAX_RUNTIME),
}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runner:
    """Runs attempts. `claimed` is told what was claimed. `given_back` is told how it ended (None: the lease was lost)
    and what it cost beside its training.

    `grace`: seconds that a hand-over may take where nobody said how many are left. `compiler`: how a GPU gets its
    kernels; None without a GPU.
    """

    client: ServiceClient
    store: BlobStore
    trainer: Trainer
    workspace: Workspace
    worker: WorkerInfo
    notice: Notice
    environment: Mapping[str, str]
    grace: float
    claimed: Callable[[Grant], None]
    given_back: Callable[[Grant, Finish | None, Cost], None] = lambda _grant, _finish, _cost: None
    compiler: Compiler | None = None

    def run(self, attempt_id: str, deadline: Deadline = NO_DEADLINE) -> bool:
        """Whether the attempt was ours; False where somebody else has it. Hands it over before the deadline."""
        grant = self._claim(attempt_id)
        if grant is None:
            return False
        self.claimed(grant)
        log.info("attempt %s of job %s, fence %d", grant.attempt, grant.job_id, grant.fence)
        pace = Pace(deadline)
        with traces.span("attempt", baton__job=grant.job_id) as span, Lease(self.client, grant) as lease:
            span.tell(baton__attempt=grant.attempt, baton__worker=self.worker.name, baton__fence=grant.fence)
            finish = self._hold(grant, lease, pace)
        self.given_back(grant, finish, pace.cost)
        return True

    def _claim(self, attempt_id: str) -> Grant | None:
        # Check the store for each claim: since the start another store may have been mounted.
        worker = self.worker.model_copy(update={"store": describe_in_time(self.store)})
        claim = Claim(claim_id=uuid.uuid4().hex, worker=worker)
        try:
            return retry_call(lambda: self.client.claim(attempt_id, claim), seconds=CLAIM_SECONDS)
        except (Refused, ServiceUnavailable) as error:
            wrong = isinstance(error, Refused) and error.problem in (WRONG_STORE, STORE_UNREACHABLE)
            log.log(logging.ERROR if wrong else logging.INFO, "did not get attempt %s: %s", attempt_id, error)
        except GrantUnreadable as error:
            log.error("%s", error)
            self._refuse(error)
        return None

    def _refuse(self, error: GrantUnreadable) -> None:
        """Give the attempt back for another worker. Otherwise the job would wait until the lease expires."""
        finish = failed(error.head.fence, error, None)
        try:
            retry_call(lambda: self.client.finish(error.head.attempt_id, finish), wait=_pause, seconds=FINISH_SECONDS)
        except (Refused, ServiceUnavailable, LeaseLost) as answer:
            log.warning("attempt %s was not given back: %s", error.head.attempt_id, answer)

    def _hold(self, grant: Grant, lease: Lease, pace: Pace) -> Finish | None:
        try:
            with PreemptionReporter(self.client, grant, self.notice):
                finish = self._train(grant, lease, pace)
            finish = finish.model_copy(update={"seconds": lease.watch.seconds(), "phase": lease.phase})
            self._give_back(grant, finish)
            log.info("%s: %s", finish.outcome, finish.message or "done")
            return finish
        except (LeaseLost, Refused) as error:
            log.warning("another worker has the job, nothing more is written: %s", error)
            return None

    def _give_back(self, grant: Grant, finish: Finish) -> None:
        try:
            retry_call(lambda: self.client.finish(grant.attempt_id, finish), wait=_pause, seconds=FINISH_SECONDS)
        except Refused as error:
            if error.status != UNPROCESSABLE or finish.outcome is not Outcome.FAILED:
                raise
            # An older service does not know newer reasons. Send a simpler message instead of waiting for the lease.
            log.warning("the service does not take how the attempt failed: %s", error)
            less = bare(grant.fence, finish.at_step)
            retry_call(lambda: self.client.finish(grant.attempt_id, less), wait=_pause, seconds=FINISH_SECONDS)

    def _train(self, grant: Grant, lease: Lease, pace: Pace) -> Finish:
        try:
            return self._train_to_the_end(grant, lease, pace)
        except LeaseLost:
            raise
        except BaseException as error:  # a user program may raise SystemExit or a subclass of BaseException
            if isinstance(error, CorruptCheckpoint):
                # A stage's best, found broken when it was needed: the next attempt is offered none that needs it.
                self._quarantine(grant, error, _pause)
            finish = failed(grant.fence, error, lease.stands_at)
            log.error("%s: %s", finish.reason, finish.message)
            return finish

    def _train_to_the_end(self, grant: Grant, lease: Lease, pace: Pace) -> Finish:
        spec = parse_spec(grant.spec, installed())
        CELL.allow(spec.limits.stall)
        transfer = self.compiler.transfer(self.store, grant.job_id, spec) if self.compiler else None
        context = AttemptContext(
            client=self.client,
            store=self.store,
            lease=lease,
            notice=self.notice,
            grant=grant,
            spec=spec,
            environment=self.environment,
            pace=pace,
        )
        context.carry(transfer)
        try:
            with lease.watch.measure(Bucket.STARTUP):
                results = self.trainer(spec, context, self.workspace, self._restore(grant, lease, context, transfer))
            with lease.watch.measure(Bucket.CHECKPOINT_STALL), context.waits.on("saving the last state"):
                send_the_rest(context)
            return Finish(fence=grant.fence, outcome=Outcome.SUCCEEDED, results=results)
        except Stopped:
            return self._handed_over(grant, lease, context, spec)
        finally:
            context.uploads.close()

    def _handed_over(self, grant: Grant, lease: Lease, context: AttemptContext, spec: JobSpec) -> Finish:
        with lease.watch.measure(Bucket.CHECKPOINT_STALL), context.waits.on("saving the last state"):
            stop, saved = hand_over(context, lease, self.notice, self.grace)
        outcome, reason = _OUTCOMES[stop]
        message = self.notice.cause if stop is Stop.PREEMPTED else ""
        if stop is Stop.MAX_RUNTIME:
            message = RUNTIME_OVER.format(spec.limits.max_runtime)
        if not saved:
            trouble = lease.troubles.told()
            message += "; the last state could not be saved in time" + (f": {trouble}" if trouble else "")
        return Finish(fence=grant.fence, outcome=outcome, reason=reason, message=message)

    def _restore(
        self, grant: Grant, lease: Lease, context: AttemptContext, transfer: ResultsTransfer | None
    ) -> Snapshot | None:
        if grant.checkpoints:
            lease.tell(Phase.RESTORING)
            errors: list[CorruptCheckpoint] = []
            with lease.watch.measure(Bucket.RESTORE), traces.span("restore"):
                for candidate in grant.checkpoints:
                    try:
                        return self._read(candidate, grant, context, transfer)
                    except CorruptCheckpoint as error:
                        self._quarantine(grant, error, context.wait_unless_stopping)
                        errors.append(error)
            if all(error.missing for error in errors):  # an older service: a newer one ends the attempt itself
                raise JobFailure(Reason.RESTORE_FAILED, f"no checkpoint of this job is in the store: {errors[0]}")
            log.warning("no checkpoint of job %s can be read: starting from the beginning", grant.job_id)
        if transfer:
            transfer.begin(afresh=self._doubted(grant, 0) is not None)
        return None

    def _read(
        self, found: CheckpointRef, grant: Grant, context: AttemptContext, transfer: ResultsTransfer | None
    ) -> Snapshot:
        read = partial(read_checkpoint, self.store, found.prefix, found.manifest_crc32c)
        begun = time.monotonic()
        try:
            snapshot, manifest = context.retry("reading a checkpoint", read, RESTORE_SECONDS)
        except StoreUnavailable as error:
            text = f"no checkpoint could be read for {RESTORE_SECONDS / 60:.0f} min, the store is away: {error}"
            raise JobFailure(Reason.STORE_UNAVAILABLE, text) from error
        step = snapshot.position.global_step
        doubted = self._doubted(grant, step) if transfer else None
        anew = resume(transfer, manifest.programs, partial(self._fetch, context), doubted, step)
        self._compare(context, manifest.environment, anew)
        log.info("read step %d back in %.2f s", step, time.monotonic() - begun)
        context.note("restored", f"resuming at step {step}", {"prefix": found.prefix})
        return snapshot

    def _fetch(self, context: AttemptContext, name: str) -> bytes:
        return context.retry("reading autotuning results", lambda: self.store.get(name), RESTORE_SECONDS)

    def _doubted(self, grant: Grant, step: int) -> str | None:
        try:
            attempts = self.client.attempts(grant.attempt_id, grant.job_id) if grant.attempt > 1 else []
        except (Refused, ServiceUnavailable) as error:
            log.warning("how the attempts before ended is not known: %s", error)
            return None
        return doubt(attempts, grant.attempt, step)

    def _quarantine(self, grant: Grant, error: CorruptCheckpoint, wait: Callable[[float], object]) -> None:
        log.error("a checkpoint cannot be read: %s", error)
        text = fitting_text(str(error))
        message = Quarantine(fence=grant.fence, prefix=error.prefix, message=text, missing=error.missing)
        with wrong_store_told(self.store):
            retry_call(lambda: self.client.quarantine(grant.attempt_id, message), wait=wait)

    def _compare(self, context: AttemptContext, before: Mapping[str, str], anew: str | None) -> None:
        now = self.environment
        differs = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
        said = [", ".join(f"{key} {before.get(key, 'absent')} -> {now.get(key, 'absent')}" for key in differs), anew]
        if text := "; ".join(filter(None, said)):
            context.note("resumed_inexactly", f"resumed inexactly: {text}")


def _pause(seconds: float) -> None:
    """Waits for a service that is away: its answer, that it is away, is no stall."""
    advanced("waiting for the service")
    time.sleep(seconds)
