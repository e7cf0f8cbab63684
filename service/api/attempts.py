"""Calls of workers. Every write contains the fencing token of its attempt. An outdated token gets 409 `lease-lost`.

The answer to a claim contains a token that authorizes the other calls for this attempt only.

All calls run in the LEASES lane, on database connections that are reserved for it.
"""

from __future__ import annotations

from contextlib import suppress

from fastapi import Request, Response

from baton.domain.attempt_objects import PART_BYTES
from baton.domain.epochs import EpochRollback
from baton.domain.errors import BatonError, LeaseLost
from baton.domain.reasons import Reason
from baton.domain.store_identity import StoreGrant
from baton.domain.views import ArtifactView, AttemptView, CheckpointView, EventView
from baton.domain.wire import (
    ArtifactCommit,
    Beat,
    CheckpointCommit,
    CheckpointRef,
    Claim,
    EpochRecord,
    EpochRow,
    Finish,
    Grant,
    Heartbeat,
    NextRequest,
    Note,
    Offer,
    Quarantine,
    WorkerInfo,
    WorkerReport,
)
from service.api.auth import CLAIM, OF_ATTEMPT, POLL, Caller
from service.api.context import Services
from service.api.dependencies import AttemptId, Ctx, guarded_router
from service.api.disconnects import unless_gone
from service.api.problems import BODY, responses
from service.db.unit_of_work import Unit
from service.errors import (
    Forbidden,
    LimitReached,
    NotFound,
    NotInstalled,
    PassedOver,
    StoreInDoubt,
    StoreUnreachable,
    WorkerTooOld,
    WrongStore,
)
from service.lanes import LEASES
from service.principal import HeldAttempt
from service.usecases import (
    artifacts,
    attempt_outcomes,
    checkpoints,
    events,
    history,
    leases,
    views,
    workers,
)

router = guarded_router("attempts")
# Delay before the attempt is sent again. Without the delay, a worker that cannot run the attempt would take it again.
OTHER_WORKER_SECONDS = 2.0
STORE_IN_DOUBT_SECONDS = 30.0
AGAIN_AFTER: dict[type[BatonError], float] = {
    Forbidden: OTHER_WORKER_SECONDS,
    LimitReached: 0.0,
    NotInstalled: OTHER_WORKER_SECONDS,
    WorkerTooOld: OTHER_WORKER_SECONDS,
    PassedOver: OTHER_WORKER_SECONDS,
    WrongStore: OTHER_WORKER_SECONDS,
    StoreUnreachable: OTHER_WORKER_SECONDS,
    StoreInDoubt: STORE_IN_DOUBT_SECONDS,
}
"""Refusals of a claim after which the attempt is sent again, and the delay in seconds."""
ERRORS = responses(404, 409, *BODY)


@router.post("/attempts:next", dependencies=[POLL], responses=responses(409, *BODY))
@LEASES.marked
async def next_attempt(ctx: Ctx, caller: Caller, request: Request, message: NextRequest) -> Offer:
    """Wait for an attempt that may be claimed now. An offer is a hint: the claim decides who gets the attempt.

    A token of a project gets only attempts of this project. 403: the token is bound to other queues than these.
    409 `wrong-store`, `store-unreachable`: the worker uses another store, or cannot use its own.
    """
    caller.check_queues(message.queues)
    await LEASES.run(admit, ctx, message.worker)
    await LEASES.run(_note_idle, ctx, message)
    wanted = ctx.offers.next(message.queues, message.worker, message.wait_seconds, caller.project)
    offered = await unless_gone(request, wanted)
    return Offer(attempt_id=offered)


def admit(ctx: Services, worker: WorkerInfo) -> None:
    """Raise WrongStore or StoreUnreachable for a worker that cannot train here, and store the reason in its row."""
    refusal = ctx.own_store.refusal(worker.store)
    if refusal is not None:
        with ctx.leases.write() as session:
            workers.refused(Unit(session), worker, str(refusal))
        raise refusal


def _note_idle(ctx: Services, message: NextRequest) -> None:
    report = WorkerReport(**message.worker.model_dump(), queues=message.queues)
    with ctx.leases.write() as session:
        workers.report(Unit(session), report)


@router.post("/attempts/{attempt_id}/claim", dependencies=[CLAIM], responses=ERRORS)
@LEASES.route
def claim(ctx: Ctx, caller: Caller, attempt_id: AttemptId, message: Claim) -> Grant:
    """Take a queued attempt. A repeated `claim_id` gets the same grant.

    The `token` in the answer authorizes the calls of this attempt while the worker holds it. `store` is the store with
    the attempt's objects. A worker with access to this store uses it directly. Any other worker reads and writes
    through `/attempts/{attempt_id}/objects`.

    After each of these refusals the attempt stays in its queue and is offered again:
    403: the worker's token is bound to other queues. 404: the attempt is in another project than the token.
    409 `limit-reached`: the queue or a label of the job is at its limit; offered again when the limit allows it.
    409 `not-installed`: the worker lacks an extension that the spec names; offered to another worker.
    409 `wrong-store`, `store-unreachable`: the worker uses another store, or cannot use its own.
    409 `store-in-doubt`: the service may have the wrong store, see /readyz.
    409 `worker-too-old`: the worker does not support something that the spec uses; offered to a newer worker.
    409 `passed-over`: the job's last attempt on this worker ended for a reason that other workers may not have, such as
    different data; they have priority.
    """
    settings = ctx.settings
    terms = leases.Terms(settings.lease_seconds, settings.heartbeat_seconds, settings.limits)
    try:
        ctx.own_store.check_doubt()
        admit(ctx, message.worker)
        with ctx.leases.write() as session:
            grant = leases.claim(Unit(session), attempt_id, message, terms, caller)
    except tuple(AGAIN_AFTER) as error:
        _offer_again(ctx, attempt_id, AGAIN_AFTER[type(error)])
        raise
    except NotFound:
        if caller.project is not None:  # the attempt may be one of another project, for another worker
            with suppress(NotFound):
                _offer_again(ctx, attempt_id, OTHER_WORKER_SECONDS)
        raise
    held = HeldAttempt(grant.attempt_id, grant.fence, grant.job_id, caller.token_id)
    store = StoreGrant(url=ctx.own_store.url, id=ctx.own_store.id, part_bytes=PART_BYTES)
    return grant.model_copy(update={"token": ctx.lease_authenticator.attempts.sign(held), "store": store})


def _offer_again(ctx: Services, attempt_id: str, seconds: float) -> None:
    with ctx.leases.of_project(None).write() as session:
        leases.send_again(Unit(session), attempt_id, seconds)
    ctx.offers.take_back(attempt_id)


@router.post("/attempts/{attempt_id}/heartbeat", dependencies=[OF_ATTEMPT], responses=ERRORS)
@LEASES.route
def heartbeat(ctx: Ctx, attempt_id: AttemptId, message: Heartbeat) -> Beat:
    """Renew the lease. The answer is the order for the worker: continue, pause or cancel."""
    with ctx.leases.write() as session:
        return leases.heartbeat(Unit(session), attempt_id, message, ctx.settings.lease_seconds)


@router.post(
    "/attempts/{attempt_id}/checkpoints",
    dependencies=[OF_ATTEMPT],
    status_code=201,
    responses={200: {"model": CheckpointRef, "description": "Committed before"}, **ERRORS},
)
@LEASES.marked
async def commit_checkpoint(
    ctx: Ctx, attempt_id: AttemptId, message: CheckpointCommit, response: Response
) -> CheckpointRef:
    """Commit a checkpoint.

    409 `not-in-store`: the service does not find the manifest. 503 `store-unavailable`: the service cannot check now.
    """
    # Check the store before the transaction, so that no lock is held while the service waits for the store.
    if await LEASES.run(_is_new_checkpoint, ctx, attempt_id, message):
        await ctx.looks.at_checkpoint(message)
    found, new = await LEASES.run(_commit_checkpoint, ctx, attempt_id, message)
    response.status_code = 201 if new else 200
    return found


def _is_new_checkpoint(ctx: Services, attempt_id: str, message: CheckpointCommit) -> bool:
    with ctx.leases.read() as session:
        return checkpoints.is_new(Unit(session), attempt_id, message)


def _commit_checkpoint(ctx: Services, attempt_id: str, message: CheckpointCommit) -> tuple[CheckpointRef, bool]:
    with ctx.leases.write() as session:
        row, new = checkpoints.commit(Unit(session), attempt_id, message)
        return leases.reference(row), new


@router.post("/attempts/{attempt_id}/epochs", dependencies=[OF_ATTEMPT], responses=ERRORS)
@LEASES.route
def record_epoch(ctx: Ctx, attempt_id: AttemptId, message: EpochRecord) -> EpochRow:
    """Record a finished epoch."""
    with ctx.leases.write() as session:
        return history.record(Unit(session), attempt_id, message)


@router.post("/attempts/{attempt_id}/epochs/rollback", dependencies=[OF_ATTEMPT], status_code=204, responses=ERRORS)
@LEASES.route
def roll_back_epochs(ctx: Ctx, attempt_id: AttemptId, message: EpochRollback) -> None:
    """Delete the rows of the history after an epoch, because the attempt continues from there. It can be repeated."""
    with ctx.leases.write() as session:
        history.roll_back(Unit(session), attempt_id, message)


@router.post("/attempts/{attempt_id}/artifacts", dependencies=[OF_ATTEMPT], responses=ERRORS)
@LEASES.marked
async def commit_artifact(ctx: Ctx, attempt_id: AttemptId, message: ArtifactCommit) -> ArtifactView:
    """Commit an artifact: its name refers to a new object.

    409 `not-in-store`: the service does not find the object. 503 `store-unavailable`: the service cannot check now.
    """
    ctx.lease_authenticator.artifacts.take(attempt_id)
    if await LEASES.run(_is_new_artifact, ctx, attempt_id, message):
        await ctx.looks.at_artifact(message)
    return await LEASES.run(_commit_artifact, ctx, attempt_id, message)


def _is_new_artifact(ctx: Services, attempt_id: str, message: ArtifactCommit) -> bool:
    with ctx.leases.read() as session:
        return artifacts.is_new(Unit(session), attempt_id, message)


def _commit_artifact(ctx: Services, attempt_id: str, message: ArtifactCommit) -> ArtifactView:
    with ctx.leases.write() as session:
        return views.artifact_view(artifacts.commit(Unit(session), attempt_id, message))


@router.post("/attempts/{attempt_id}/notes", dependencies=[OF_ATTEMPT], status_code=201, responses=ERRORS)
@LEASES.route
def add_note(ctx: Ctx, attempt_id: AttemptId, message: Note) -> EventView:
    """Add an event to the job's log."""
    ctx.lease_authenticator.notes.take(attempt_id)
    with ctx.leases.write() as session:
        return events.event_view(artifacts.note(Unit(session), attempt_id, message))


@router.post("/attempts/{attempt_id}/quarantine", dependencies=[OF_ATTEMPT], responses=ERRORS)
@LEASES.marked
async def quarantine(ctx: Ctx, attempt_id: AttemptId, message: Quarantine) -> CheckpointView:
    """Quarantine a checkpoint that cannot be read: no attempt restores it again.

    If none of the job's checkpoints is in the store any more, the job fails with `wrong_store`, and the answer is
    409 `lease-lost`. 409 `wrong-store`: the worker does not find a checkpoint that the service finds in its store.
    """
    if message.missing is not False:
        await _look_for_missing(ctx, attempt_id, message)
    return await LEASES.run(_quarantine, ctx, attempt_id, message)


async def _look_for_missing(ctx: Services, attempt_id: str, message: Quarantine) -> None:
    committed = await LEASES.run(_usable, ctx, attempt_id, message)
    if message.prefix not in committed:
        return
    if await ctx.looks.sees(message.prefix):
        if message.missing:
            raise WrongStore(
                f"the service finds {message.prefix} in its store {ctx.own_store.url}, but this worker does not: set "
                "BATON_STORE to that store"
            )
        return
    if not await ctx.looks.sees_any(committed):
        text = (
            f"none of the {len(committed)} committed checkpoints is in the store {ctx.own_store.url}, the newest is "
            f"{committed[0]}: were objects deleted, or was another store used before? Restore the objects, or set "
            "BATON_STORE of the service and the workers to the store that holds them. The job was not restarted from "
            "step 0"
        )
        await LEASES.run(_give_up, ctx, attempt_id, message.fence, text)
        raise LeaseLost(f"the job has failed: {text}")


def _usable(ctx: Services, attempt_id: str, message: Quarantine) -> list[str]:
    with ctx.leases.read() as session:
        return checkpoints.usable(Unit(session), attempt_id, message.fence)


def _give_up(ctx: Services, attempt_id: str, fence: int, text: str) -> None:
    with ctx.leases.write() as session:
        attempt_outcomes.give_up(Unit(session), attempt_id, fence, Reason.WRONG_STORE, text)


def _quarantine(ctx: Services, attempt_id: str, message: Quarantine) -> CheckpointView:
    with ctx.leases.write() as session:
        unit = Unit(session)
        row = checkpoints.quarantine(unit, attempt_id, message)
        return views.checkpoint_view(row, unit.pointers(row.job_id))


@router.post("/attempts/{attempt_id}/finish", dependencies=[OF_ATTEMPT], responses=ERRORS)
@LEASES.route
def finish(ctx: Ctx, attempt_id: AttemptId, message: Finish) -> AttemptView:
    """End the attempt with its outcome. The same message again gets the same answer."""
    with ctx.leases.write() as session:
        unit = Unit(session)
        return views.attempt_view(attempt_outcomes.finish(unit, attempt_id, message), ctx.settings.beats, unit.now())
