"""Logs of attempts: the output of their training processes, readable while they run."""

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
    "description": "The available bytes from `offset` on. Empty before the first line",
    "content": {"text/plain": {"schema": {"type": "string"}}},
    "headers": {
        NEXT: {"description": "End of these bytes: the `offset` of the next call", "schema": {"type": "integer"}},
        COMPLETE: {"description": "`true`: the log ends with these bytes", "schema": {"type": "boolean"}},
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
    number: Annotated[int, Path(ge=1, le=2**31 - 1, description="Number of the attempt, from 1")],
    offset: Annotated[int, Query(ge=0, le=2**53, description="Only bytes from here on")] = 0,
    wait: Annotated[float, Query(ge=0, le=MAX_WAIT, description="Seconds to wait for a byte after `offset`")] = 0.0,
) -> Response:
    """Get the output of an attempt's training process. A part may end inside a character: join parts, then decode."""
    found = await unless_gone(request, ctx.logs.read(job_id, number, offset, wait))
    if found is None:
        return Response()  # the client has disconnected
    headers = {
        "Content-Length": str(found.part.size),
        NEXT: str(found.part.end),
        COMPLETE: "true" if found.complete else "false",
        "Cache-Control": "private, no-store",
    }
    return StreamingResponse(ctx.logs.content(found.part), headers=headers, media_type=MEDIA_TYPE)
