"""Runs one attempt: claim, restore, train, hand over. Independent of TensorFlow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial

from baton.domain.errors import JobFailure, LeaseLost
from baton.domain.goodput import Bucket
from baton.domain.protocol_versions import TAKES_SERIES
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec, parse_spec
from baton.domain.wire import Finish, Grant, Outcome, WorkerInfo
from baton.storage import BlobStore, ObjectAccess
from baton.telemetry import traces
from worker.api_client.client import UNPROCESSABLE, Refused, ServiceClient
from worker.attempt.claim import FINISH_SECONDS, claim_attempt, give_back, new_claim_id, wait_for_service
from worker.attempt.context import AttemptContext
from worker.attempt.failures import ProgramFailure, failed, minimal_failure
from worker.attempt.handover import handed_over, send_the_rest, send_the_saves
from worker.attempt.lease import Lease
from worker.attempt.preemption_reporter import PreemptionReporter
from worker.attempt.protocols import Stopped, Trainer, Workspace
from worker.attempt.restore import Restore, quarantine
from worker.autotuning.transfer import Compiler
from worker.checkpointing.checkpoint_files import CorruptCheckpoint
from worker.extensions import installed
from worker.ipc.progress import CELL
from worker.preemption.deadline import NO_DEADLINE, Cost, Deadline, Pace
from worker.preemption.notice import Notice
from worker.retry import retry_call
from worker.store_access.granted import store_of
from worker.system_metrics import SystemMetrics, sources

NOT_HERE = {
    True: "this worker runs no programs: it was started without --programs",
    False: "this worker runs programs only: TensorFlow is not installed",
}
"""Why an attempt is given back, by whether it is of a program."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runner:
    """Runs attempts. `store`: the worker's own store; None: the store of the grant. `direct`: whether to use the store
    of the grant without the service if this machine has access to it.

    `claimed` is called with the grant. `given_back` is called at the end with the finish message (None: the lease was
    lost) and the time that the attempt spent in addition to training.

    `grace`: seconds for a hand-over if no notice gives a time. `compiler`: the autotuning settings; None without a GPU.

    `programs`: whether this process runs programs; otherwise it trains classifiers. `wrong_process`: called with the
    ids of attempt and claim for an attempt of the other kind: another process of this worker repeats the claim. None:
    the attempt is given back, because this worker runs only one kind.
    """

    client: ServiceClient
    store: BlobStore | None
    trainer: Trainer
    workspace: Workspace
    worker: WorkerInfo
    notice: Notice
    environment: Mapping[str, str]
    grace: float
    claimed: Callable[[Grant], None]
    given_back: Callable[[Grant, Finish | None, Cost], None] = lambda _grant, _finish, _cost: None
    compiler: Compiler | None = None
    direct: bool = True
    programs: bool = False
    wrong_process: Callable[[str, str], None] | None = None

    def run(self, attempt_id: str, deadline: Deadline = NO_DEADLINE, claim_id: str | None = None) -> bool:
        """Runs an attempt to its end, or hands it over before the deadline. False if this worker did not claim it.

        `claim_id`: of a claim that this one repeats.
        """
        claim_id = claim_id or new_claim_id()
        grant = claim_attempt(self.client, self.store, self.worker, attempt_id, claim_id)
        if grant is None:
            return False
        of_program = "program" in grant.spec
        if of_program is not self.programs and self.wrong_process is not None:
            self.wrong_process(attempt_id, claim_id)
            return True
        self.claimed(grant)
        if of_program is not self.programs:
            give_back(self.client, grant, JobFailure(Reason.WORKER_TOO_OLD, NOT_HERE[of_program]))
            return True
        log.info("attempt %s of job %s, fence %d", grant.attempt, grant.job_id, grant.fence)
        pace = Pace(deadline)
        with traces.span("attempt", baton__job=grant.job_id) as span, Lease(self.client, grant) as lease:
            span.tell(baton__attempt=grant.attempt, baton__worker=self.worker.name, baton__fence=grant.fence)
            finish = self._hold(grant, lease, pace)
        self.given_back(grant, finish, pace.cost)
        return True

    def _hold(self, grant: Grant, lease: Lease, pace: Pace) -> Finish | None:
        """The message that ended the attempt; None: the lease was lost, and nothing more may be written."""
        try:
            with PreemptionReporter(self.client, grant, self.notice):
                finish = self._end(grant, lease, pace)
            finish = finish.model_copy(update={"seconds": lease.watch.seconds(), "phase": lease.phase})
            if finish.outcome is Outcome.SUCCEEDED:  # the last heartbeat may be some seconds old
                finish = finish.model_copy(update={"progress": lease.progress})
            self._give_back(grant, finish)
            log.info("%s: %s", finish.outcome, finish.message or "done")
            return finish
        except (LeaseLost, Refused) as error:
            log.warning("another worker has the job; this worker writes nothing more: %s", error)
            return None

    def _end(self, grant: Grant, lease: Lease, pace: Pace) -> Finish:
        """Trains, and returns the message that ends the attempt, also after an exception. Raises LeaseLost."""
        store: ObjectAccess | None = None
        try:
            store = store_of(grant, self.client, self.store, direct=self.direct)
            return self._train(grant, lease, pace, store)
        except LeaseLost:
            raise
        except BaseException as error:  # a user program may raise SystemExit or a subclass of BaseException
            if isinstance(error, CorruptCheckpoint) and store is not None:
                # The restore checked the newest checkpoint, so the corrupt one is the best checkpoint of a stage.
                # After the quarantine, the next attempt gets no checkpoint that needs it.
                quarantine(self.client, store, grant, error, wait_for_service)
            finish = failed(grant.fence, error, lease.stands_at)
            log.error("%s: %s", finish.reason, finish.message)
            return finish

    def _train(self, grant: Grant, lease: Lease, pace: Pace, store: ObjectAccess) -> Finish:
        spec = parse_spec(grant.spec, installed())
        CELL.allow(spec.limits.stall)
        transfer = None
        if self.compiler is not None and isinstance(spec, JobSpec):
            transfer = self.compiler.transfer(store, grant.job_id, spec)
        context = AttemptContext(
            client=self.client,
            store=store,
            lease=lease,
            notice=self.notice,
            grant=grant,
            spec=spec,
            environment=self.environment,
            pace=pace,
        )
        context.use_transfer(transfer)
        try:
            with self._system_metrics(grant), lease.watch.measure(Bucket.STARTUP):
                scratch = self.workspace.scratch
                into = scratch and scratch / "restored"
                snapshot = Restore(self.client, store, grant, context, self.environment, transfer, into).run()
                results = self.trainer(spec, context, self.workspace, snapshot)
            with lease.watch.measure(Bucket.CHECKPOINT_STALL), context.waits.on("saving the last state"):
                send_the_rest(context)
            return Finish(fence=grant.fence, outcome=Outcome.SUCCEEDED, results=results)
        except ProgramFailure:
            with lease.watch.measure(Bucket.CHECKPOINT_STALL), context.waits.on("saving the last state"):
                send_the_saves(context)
            raise
        except Stopped:
            with lease.watch.measure(Bucket.CHECKPOINT_STALL), context.waits.on("saving the last state"):
                return handed_over(context, lease, self.notice, self.grace)
        finally:
            context.uploads.close()

    def _system_metrics(self, grant: Grant) -> AbstractContextManager[object]:
        if grant.protocol < TAKES_SERIES:
            return nullcontext()
        send = partial(self.client.series, grant.attempt_id, grant.fence)
        return SystemMetrics(send, sources(self.workspace.cache))

    def _give_back(self, grant: Grant, finish: Finish) -> None:
        try:
            retry_call(
                lambda: self.client.finish(grant.attempt_id, finish), wait=wait_for_service, seconds=FINISH_SECONDS
            )
        except Refused as error:
            if error.status != UNPROCESSABLE or finish.outcome is not Outcome.FAILED:
                raise
            # An older service refuses newer reasons. A simpler message ends the attempt before the lease expires.
            log.warning("the service refuses the description of the failure: %s", error)
            less = minimal_failure(grant.fence, finish.at_step)
            retry_call(
                lambda: self.client.finish(grant.attempt_id, less), wait=wait_for_service, seconds=FINISH_SECONDS
            )
