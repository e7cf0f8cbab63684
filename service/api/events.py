"""The events of a job, and those of all jobs: as pages of JSON, or as a stream of Server-Sent Events."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.sse import EventSourceResponse

from baton.domain.views import EventPage, FeedPage
from service.api.accepted_types import JSON, prefers
from service.api.auth import READ, Caller, still_admitted
from service.api.context import Services
from service.api.dependencies import Ctx, Cursor, JobId, guarded_router, sort_by
from service.api.problems import responses
from service.db.unit_of_work import Unit
from service.usecases.event_feed import feed_page
from service.usecases.events import event_page
from service.usecases.paging import Sort

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
FEED_DOC = (
    "A stream of Server-Sent Events: `id` is the event's number in the feed, `event` its kind, `data` a FeedEvent."
)
FEED_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "model": FeedPage,
        "description": "A page of events, or with `Accept: text/event-stream` a stream of events",
        "content": {STREAM: {"schema": {"type": "string", "description": FEED_DOC}}},
    },
}
EventLimit = Annotated[int, Query(ge=1, le=1000, description="Events per page; ignored for streams")]
LastEventId = Annotated[
    int, Header(alias="Last-Event-ID", ge=0, le=2**53, description="For streams: overrides `after`")
]


@router.get("/jobs/{job_id}/events", dependencies=[READ], response_model=EventPage, responses=ANSWERS)
async def list_events(
    ctx: Ctx,
    request: Request,
    job_id: JobId,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only events after this number")] = 0,
    sort: Annotated[str, *sort_by("sequence")] = "sequence",
    limit: EventLimit = 200,
    cursor: Cursor | None = None,
    last_event_id: LastEventId = 0,
) -> Any:
    """List the job's events by pages, or with `Accept: text/event-stream` follow them as a stream.

    A stream ignores `sort`, `limit` and `cursor`.
    """
    if prefers(request.headers.get("accept", ""), STREAM):
        return await _stream(ctx, request, job_id, last_event_id if "last-event-id" in request.headers else after)

    def page() -> EventPage:
        with ctx.database.read() as session:
            return event_page(Unit(session), job_id, after, Sort.parse(sort), cursor, limit)

    return _sent(await run_in_threadpool(page))


@router.get("/events", dependencies=[READ], response_model=FeedPage, responses=FEED_ANSWERS)
async def list_all_events(
    ctx: Ctx,
    caller: Caller,
    request: Request,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only events after this number")] = 0,
    sort: Annotated[str, *sort_by("number")] = "number",
    limit: EventLimit = 200,
    cursor: Cursor | None = None,
    last_event_id: LastEventId = 0,
) -> Any:
    """List the events of all jobs by pages, or with `Accept: text/event-stream` follow them as a stream.

    An event gets its number within about a second after it happened. An event with a lower number never appears later.
    A stream ignores `sort`, `limit` and `cursor`. Without `after` and Last-Event-ID it sends only new events. It has no
    end: connect again when it is closed.
    """
    if not prefers(request.headers.get("accept", ""), STREAM):

        def page() -> FeedPage:
            with ctx.database.read() as session:
                return feed_page(Unit(session), after, Sort.parse(sort), cursor, limit)

        return _sent(await run_in_threadpool(page))
    given = "last-event-id" in request.headers
    start = last_event_id if given else after if "after" in request.query_params else None
    return EventSourceResponse(_while_admitted(request, ctx.all_events.stream(start, caller.project)), headers=HEADERS)


def _sent(page: EventPage | FeedPage) -> Response:
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
