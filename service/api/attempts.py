"""What workers say. Every write carries its attempt's fence; one that is no good any more gets 409 `lease-lost`.

A claim answers with a token that opens the other calls for its attempt, and for no other.
"""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool

from core.domain.views import ArtifactView, AttemptView, CheckpointView, EventView
from core.domain.wire import (
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
    WorkerReport,
)
from service.access.principal import Hold, Principal
from service.api.depends import AttemptId, Ctx, guarded_router
from service.api.problems import BODY, responses
from service.api.waiting import unless_gone
from service.auth import OF_ATTEMPT, POLL, WORK, Caller
from service.control import artifacts, checkpoints, endings, events, history, leases, views, workers
from service.db.unit import Unit
from service.errors import Conflict, LimitReached, NotInstalled, WorkerTooOld
from service.services import Services

router = guarded_router("attempts")
# Until it is sent again: the worker that lacks something must not take it in a circle.
OTHER_WORKER_SECONDS = 2.0
ERRORS = responses(404, 409, *BODY)


@router.post("/attempts:next", dependencies=[POLL], responses=responses(*BODY))
async def next_attempt(ctx: Ctx, request: Request, message: NextRequest) -> Offer:
    """Wait for an attempt that may be claimed now. An offer is a hint: whose the attempt is decides its claim."""
    await run_in_threadpool(_note_idle, ctx, message)
    offered = await unless_gone(request, ctx.offers.next(message.queues, message.worker, message.wait_seconds))
    return Offer(attempt_id=offered)


def _note_idle(ctx: Services, message: NextRequest) -> None:
    report = WorkerReport(**message.worker.model_dump(), queues=message.queues)
    with ctx.database.write() as session:
        workers.report(Unit(session), report)


@router.post("/attempts/{attempt_id}/claim", dependencies=[WORK], responses=ERRORS)
def claim(ctx: Ctx, caller: Caller, attempt_id: AttemptId, message: Claim) -> Grant:
    """Take a queued attempt. The same `claim_id` again gets the same grant.

    Its `token` is what the calls of this attempt are to be made with, for as long as it is held.

    409 `limit-reached`: its queue or one of its labels is at its limit; it is sent again when a place is free.
    409 `not-installed`: the worker lacks an extension that the spec names; it is sent again, for another one.
    409 `worker-too-old`: the worker does not understand what the spec uses; it is sent again, for a newer one.
    """
    settings = ctx.settings
    terms = leases.Terms(settings.lease_seconds, settings.heartbeat_seconds, settings.limits)
    try:
        with ctx.database.write() as session:
            grant = leases.claim(Unit(session), attempt_id, message, terms)
    except LimitReached:
        _send_again(ctx, attempt_id, 0.0)
        raise
    except (NotInstalled, WorkerTooOld) as error:
        _send_again(ctx, attempt_id, OTHER_WORKER_SECONDS)
        _note_refusal(ctx, message, error)
        raise
    return grant.model_copy(update={"token": _token(ctx, caller, grant)})


def _note_refusal(ctx: Services, message: Claim, error: Conflict) -> None:
    with ctx.database.write() as session:
        workers.refused(Unit(session), message.worker, str(error))


def _token(ctx: Services, caller: Principal, grant: Grant) -> str:
    return ctx.gate.attempts.sign(Hold(grant.attempt_id, grant.fence, grant.job_id, caller.token_id))


def _send_again(ctx: Services, attempt_id: str, after: float) -> None:
    with ctx.database.write() as session:
        leases.send_again(Unit(session), attempt_id, after)
    ctx.offers.take_back(attempt_id)


@router.post("/attempts/{attempt_id}/heartbeat", dependencies=[OF_ATTEMPT], responses=ERRORS)
def heartbeat(ctx: Ctx, attempt_id: AttemptId, message: Heartbeat) -> Beat:
    """Renew the lease; the answer says what the job's owner wants."""
    with ctx.database.write() as session:
        return leases.heartbeat(Unit(session), attempt_id, message, ctx.settings.lease_seconds)


@router.post(
    "/attempts/{attempt_id}/checkpoints",
    dependencies=[OF_ATTEMPT],
    status_code=201,
    responses={200: {"model": CheckpointRef, "description": "Committed before"}, **ERRORS},
)
def commit_checkpoint(ctx: Ctx, attempt_id: AttemptId, message: CheckpointCommit, response: Response) -> CheckpointRef:
    """Make a checkpoint exist."""
    with ctx.database.write() as session:
        row, new = checkpoints.commit(Unit(session), attempt_id, message)
        response.status_code = 201 if new else 200
        return leases.reference(row)


@router.post("/attempts/{attempt_id}/epochs", dependencies=[OF_ATTEMPT], responses=ERRORS)
def record_epoch(ctx: Ctx, attempt_id: AttemptId, message: EpochRecord) -> EpochRow:
    """Record a finished epoch."""
    with ctx.database.write() as session:
        return history.record(Unit(session), attempt_id, message)


@router.post("/attempts/{attempt_id}/artifacts", dependencies=[OF_ATTEMPT], responses=ERRORS)
def commit_artifact(ctx: Ctx, attempt_id: AttemptId, message: ArtifactCommit) -> ArtifactView:
    """Point an artifact at a new object."""
    ctx.gate.artifacts.take(attempt_id)
    with ctx.database.write() as session:
        return views.artifact_view(artifacts.commit(Unit(session), attempt_id, message))


@router.post("/attempts/{attempt_id}/notes", dependencies=[OF_ATTEMPT], status_code=201, responses=ERRORS)
def add_note(ctx: Ctx, attempt_id: AttemptId, message: Note) -> EventView:
    """Add an event to the job's log."""
    ctx.gate.notes.take(attempt_id)
    with ctx.database.write() as session:
        return events.event_view(artifacts.note(Unit(session), attempt_id, message))


@router.post("/attempts/{attempt_id}/quarantine", dependencies=[OF_ATTEMPT], responses=ERRORS)
def quarantine(ctx: Ctx, attempt_id: AttemptId, message: Quarantine) -> CheckpointView:
    """Take a checkpoint that cannot be read out of use."""
    with ctx.database.write() as session:
        unit = Unit(session)
        row = checkpoints.quarantine(unit, attempt_id, message)
        return views.checkpoint_view(row, unit.pointers(row.job_id))


@router.post("/attempts/{attempt_id}/finish", dependencies=[OF_ATTEMPT], responses=ERRORS)
def finish(ctx: Ctx, attempt_id: AttemptId, message: Finish) -> AttemptView:
    """Give the attempt back. The same message again gets the same answer."""
    with ctx.database.write() as session:
        unit = Unit(session)
        return views.attempt_view(endings.finish(unit, attempt_id, message), unit.now())
