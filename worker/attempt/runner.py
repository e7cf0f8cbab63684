"""Runs one attempt: claim, restore, train, hand over. Independent of TensorFlow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from baton.domain.errors import LeaseLost
from baton.domain.goodput import Bucket
from baton.domain.spec import parse_spec
from baton.domain.wire import Finish, Grant, Outcome, WorkerInfo
from baton.storage import BlobStore
from baton.telemetry import traces
from worker.api_client.client import Refused, ServiceClient
from worker.attempt.claim import FINISH_SECONDS, claim_attempt, wait_for_service
from worker.attempt.context import AttemptContext
from worker.attempt.failures import failed, minimal_failure
from worker.attempt.handover import handed_over, send_the_rest
from worker.attempt.lease import Lease
from worker.attempt.preemption_reporter import PreemptionReporter
from worker.attempt.protocols import Stopped, Trainer, Workspace
from worker.attempt.restore import Restore, quarantine
from worker.autotuning.transfer import Compiler
from worker.checkpointing.files import CorruptCheckpoint
from worker.extensions import installed
from worker.ipc.progress import CELL
from worker.preemption.deadline import NO_DEADLINE, Cost, Deadline, Pace
from worker.preemption.notice import Notice
from worker.retry import retry_call

UNPROCESSABLE = 422
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Runner:
    """Runs attempts. `claimed` is called with the grant. `given_back` is called at the end with the finish message
    (None: the lease was lost) and the time that the attempt spent in addition to training.

    `grace`: seconds for a hand-over without a notice that gives a time. `compiler`: gets the kernels of a GPU; None
    without a GPU.
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
        """Runs an attempt to its end, or hands it over before the deadline. False if it was not claimed here."""
        grant = claim_attempt(self.client, self.store, self.worker, attempt_id)
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

    def _hold(self, grant: Grant, lease: Lease, pace: Pace) -> Finish | None:
        """The message that ended the attempt; None: the lease was lost, and nothing more may be written."""
        try:
            with PreemptionReporter(self.client, grant, self.notice):
                finish = self._end(grant, lease, pace)
            finish = finish.model_copy(update={"seconds": lease.watch.seconds(), "phase": lease.phase})
            self._give_back(grant, finish)
            log.info("%s: %s", finish.outcome, finish.message or "done")
            return finish
        except (LeaseLost, Refused) as error:
            log.warning("another worker has the job, nothing more is written: %s", error)
            return None

    def _end(self, grant: Grant, lease: Lease, pace: Pace) -> Finish:
        """Trains, and returns the message that ends the attempt, also after an exception. Raises LeaseLost."""
        try:
            return self._train(grant, lease, pace)
        except LeaseLost:
            raise
        except BaseException as error:  # a user program may raise SystemExit or a subclass of BaseException
            if isinstance(error, CorruptCheckpoint):
                # The best checkpoint of a stage. The next attempt gets no checkpoint that needs it.
                quarantine(self.client, self.store, grant, error, wait_for_service)
            finish = failed(grant.fence, error, lease.stands_at)
            log.error("%s: %s", finish.reason, finish.message)
            return finish

    def _train(self, grant: Grant, lease: Lease, pace: Pace) -> Finish:
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
        context.use_transfer(transfer)
        try:
            with lease.watch.measure(Bucket.STARTUP):
                snapshot = Restore(self.client, self.store, grant, context, self.environment, transfer).run()
                results = self.trainer(spec, context, self.workspace, snapshot)
            with lease.watch.measure(Bucket.CHECKPOINT_STALL), context.waits.on("saving the last state"):
                send_the_rest(context)
            return Finish(fence=grant.fence, outcome=Outcome.SUCCEEDED, results=results)
        except Stopped:
            with lease.watch.measure(Bucket.CHECKPOINT_STALL), context.waits.on("saving the last state"):
                return handed_over(context, lease, self.notice, self.grace, spec.limits.max_runtime)
        finally:
            context.uploads.close()

    def _give_back(self, grant: Grant, finish: Finish) -> None:
        try:
            retry_call(
                lambda: self.client.finish(grant.attempt_id, finish), wait=wait_for_service, seconds=FINISH_SECONDS
            )
        except Refused as error:
            if error.status != UNPROCESSABLE or finish.outcome is not Outcome.FAILED:
                raise
            # An older service does not know newer reasons. Send a simpler message instead of waiting for the lease.
            log.warning("the service refuses the description of the failure: %s", error)
            less = minimal_failure(grant.fence, finish.at_step)
            retry_call(
                lambda: self.client.finish(grant.attempt_id, less), wait=wait_for_service, seconds=FINISH_SECONDS
            )
