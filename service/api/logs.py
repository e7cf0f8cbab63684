"""What the training process of an attempt printed, readable while it runs."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from service.api.auth import READ
from service.api.dependencies import Ctx, JobId, guarded_router
from service.api.disconnects import unless_gone
from service.api.jobs import MAX_WAIT
from service.api.problems import responses

NEXT, COMPLETE = "Baton-Next-Offset", "Baton-Complete"
MEDIA_TYPE = "text/plain; charset=utf-8"
router = guarded_router("logs")
ANSWER: dict[str, Any] = {
    "description": "The bytes from `offset` on, as far as they have come; none before the first line",
    "content": {"text/plain": {"schema": {"type": "string"}}},
    "headers": {
        NEXT: {"description": "Where these bytes end: `offset` of the next call", "schema": {"type": "integer"}},
        COMPLETE: {"description": "`true`: nothing follows these bytes, ever", "schema": {"type": "boolean"}},
    },
}


@router.get(
    "/jobs/{job_id}/attempts/{number}/log",
    dependencies=[READ],
    response_class=Response,
    responses={200: ANSWER, **responses(404)},
)
async def show_log(
    ctx: Ctx,
    request: Request,
    job_id: JobId,
    number: Annotated[int, Path(ge=1, le=2**31 - 1, description="The attempt, from 1")],
    offset: Annotated[int, Query(ge=0, le=2**53, description="Only bytes from here on")] = 0,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT, description="Seconds to wait for a byte after `offset`")] = 0.0,
) -> Response:
    """Standard output and error of an attempt's training process. Cut anywhere: join the bytes before decoding them."""
    found = await unless_gone(request, ctx.logs.read(job_id, number, offset, wait))
    if found is None:
        return Response()  # nobody hears it
    headers = {
        "Content-Length": str(found.part.size),
        NEXT: str(found.part.end),
        COMPLETE: "true" if found.complete else "false",
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(ctx.logs.content(found.part), headers=headers, media_type=MEDIA_TYPE)
