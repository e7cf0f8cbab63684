"""The events of a job: as pages of JSON, or as a stream of Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse

from baton.domain.views import EventPage
from service.api.accepted_types import JSON, prefers
from service.api.auth import READ, still_admitted
from service.api.context import Services
from service.api.dependencies import Ctx, JobId, guarded_router
from service.api.problems import responses
from service.db.unit_of_work import Unit
from service.usecases.events import event_page

STREAM = "text/event-stream"
router = guarded_router("events")
HEADERS = {
    "Cache-Control": "private, no-cache",
    "Vary": "Accept",
    "X-Accel-Buffering": "no",  # without this header, nginx would delay events until its buffer is full
}
STREAM_DOC = (
    "A stream of Server-Sent Events: `id` is the event's number, `event` its kind, `data` an EventView. When the job "
    "has ended, the stream ends with an event of kind `end`. It has no id, and its data has the job's status."
)
ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": EventPage,
        "description": "A page of events, or with `Accept: text/event-stream` a stream of events",
        "content": {STREAM: {"schema": {"type": "string", "description": STREAM_DOC}}},
    },
    204: {"description": "For streams: the job has ended without an event after that number; do not connect again"},
    **responses(404),
}


@router.get("/jobs/{job_id}/events", dependencies=[READ], response_model=EventPage, responses=ANSWERS)
async def list_events(
    ctx: Ctx,
    request: Request,
    job_id: JobId,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only events after this number")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Events per page; ignored for streams")] = 200,
    last_event_id: Annotated[
        int, Header(alias="Last-Event-ID", ge=0, le=2**53, description="For streams: overrides `after`")
    ] = 0,
) -> Any:
    """List the job's events by pages, or with `Accept: text/event-stream` follow them as a stream."""
    if prefers(request.headers.get("accept", ""), STREAM):
        return await _stream(ctx, request, job_id, last_event_id if "last-event-id" in request.headers else after)
    page = await run_in_threadpool(_page, ctx, job_id, after, limit)
    return Response(page.model_dump_json(), headers={"Vary": "Accept"}, media_type=JSON)


async def _stream(ctx: Services, request: Request, job_id: str, after: int) -> Response:
    piece = await ctx.feed.piece(job_id, after)
    if piece.over:
        return Response(status_code=204, headers=HEADERS)
    return EventSourceResponse(_while_admitted(request, ctx.feed.stream(job_id, piece)), headers=HEADERS)


async def _while_admitted(request: Request, pieces: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
    """End a stream whose token was revoked or has expired, at its next event or keep-alive. Streams may last days."""
    async with aclosing(pieces):
        async for piece in pieces:
            if not await still_admitted(request):
                return
            yield piece


def _page(ctx: Services, job_id: str, after: int, limit: int) -> EventPage:
    with ctx.database.read() as session:
        return event_page(Unit(session), job_id, after, limit)
