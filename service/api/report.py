"""A job's report as a page: in a frame of the dashboard, or in its own tab."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, StreamingResponse

from service.api.artifacts import find
from service.api.auth import READ
from service.api.dependencies import Ctx, JobId, guarded_router
from service.api.disconnects import unless_gone
from service.api.headers import PRIVATE, SANDBOX
from service.api.jobs import matches
from service.api.problems import responses
from service.store.blob_stream import opened

router = guarded_router("artifacts")
PAGE = "report.html"
HTML = {"text/html": {"schema": {"type": "string"}}}


@router.get(
    "/jobs/{job_id}/report",
    dependencies=[READ],
    response_class=HTMLResponse,
    responses={
        200: {"content": HTML, "description": "The page"},
        304: {"description": "Not changed"},
        **responses(404),
    },
)
async def show_report(ctx: Ctx, request: Request, job_id: JobId) -> Response:
    """Show the artifact report.html in the browser, without scripts. The artifact itself is a download."""
    row = await run_in_threadpool(find, ctx, job_id, PAGE)
    headers = {
        "ETag": f'"{row.crc32c}-{row.size}"',
        "Cache-Control": PRIVATE,
        "Content-Security-Policy": SANDBOX,
    }
    if matches(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    chunks = await unless_gone(request, opened(ctx.store, row.object, 0, row.size))
    if chunks is None:
        return Response()  # the client has disconnected
    return StreamingResponse(chunks, headers=headers, media_type="text/html; charset=utf-8")
