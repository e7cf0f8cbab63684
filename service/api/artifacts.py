"""Artifacts, the files for users: the list, and downloads."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse, StreamingResponse

from baton.domain.views import ArtifactView, Listing
from baton.storage import BlobStore
from service.api.auth import READ
from service.api.context import Services
from service.api.dependencies import COMPLETE, Ctx, Cursor, JobId, Most, guarded_router, sort_by
from service.api.disconnects import unless_gone
from service.api.headers import SANDBOX
from service.api.jobs import matches
from service.api.problems import problem, responses
from service.db.tables import Artifact
from service.db.unit_of_work import Unit
from service.lanes import STORE
from service.store.blob_stream import opened
from service.usecases import artifacts, job_parts
from service.usecases.paging import Sort

router = guarded_router("artifacts")
LINK_LIFETIME = timedelta(minutes=10)
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}


@dataclass(frozen=True)
class Span:
    """Bytes [start, end) of a file."""

    start: int
    end: int


@router.get("/jobs/{job_id}/artifacts", dependencies=[READ], responses=responses(404))
def list_artifacts(
    ctx: Ctx,
    job_id: JobId,
    sort: Annotated[str, *sort_by("name")] = "name",
    limit: Most = COMPLETE,
    cursor: Cursor | None = None,
) -> Listing[ArtifactView]:
    """List the job's artifacts: files for users, such as models and the report."""
    with ctx.database.read() as session:
        return job_parts.artifacts(Unit(session), job_id, Sort.parse(sort), cursor, limit)


@router.get(
    "/jobs/{job_id}/artifacts/{name}",
    dependencies=[READ],
    response_class=Response,
    responses={
        200: {"content": BYTES, "description": "The file"},
        206: {"content": BYTES, "description": "The requested range"},
        304: {"description": "Not changed"},
        307: {"description": "A signed URL in Location"},
        **responses(404, 416),
    },
)
async def fetch_artifact(
    ctx: Ctx, request: Request, job_id: JobId, name: Annotated[str, Path(max_length=100)]
) -> Response:
    """Download a file, or get a redirect to a signed URL of the store."""
    row = await run_in_threadpool(find, ctx, job_id, name)
    tag = f'"{row.crc32c}-{row.size}"'
    if matches(request, tag):
        return Response(status_code=304, headers={"ETag": tag})
    answer = await unless_gone(request, _answer(ctx.store, request, row, tag))
    return Response() if answer is None else answer  # the client has disconnected


def find(ctx: Services, job_id: str, name: str) -> Artifact:
    """The artifact's row. Raises NotFound."""
    with ctx.database.read() as session:
        return artifacts.find(Unit(session), job_id, name)


async def _answer(store: BlobStore, request: Request, row: Artifact, tag: str) -> Response:
    link = await STORE.run(store.signed_url, row.object, LINK_LIFETIME)
    if link is not None:
        return RedirectResponse(link, 307, {"Cache-Control": "private, no-store"})
    span = _span(request, row.size, tag)
    if span is not None and span.start >= span.end:
        headers = {"Content-Range": f"bytes */{row.size}"}
        return problem(416, "range-not-satisfiable", f"the file has {row.size} bytes", headers=headers)
    whole = span or Span(0, row.size)
    chunks = await opened(store, row.object, whole.start, whole.end)
    headers = {
        "Content-Length": str(whole.end - whole.start),
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        # A worker wrote the file and chose its type, so a browser must not run it in the service's origin.
        "Content-Security-Policy": SANDBOX,
        "Content-Disposition": f'attachment; filename="{row.name}"',
    }
    if span is not None:
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{row.size}"
    return StreamingResponse(chunks, 206 if span else 200, headers, _media_type(row.content_type))


def _media_type(text: str) -> str:
    return (
        text if re.fullmatch(r"[\w.+-]+/[\w.+-]+(; ?[\w-]+=[\w.-]+)?", text, re.ASCII) else "application/octet-stream"
    )


def _span(request: Request, size: int, tag: str) -> Span | None:
    """The requested range. None for the whole file. An empty span for a range beyond the end."""
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or request.headers.get("if-range", tag) != tag or match[1] == match[2] == "":
        return None
    if match[1] == "":
        return Span(max(size - int(match[2]), 0), size)
    last = int(match[2]) if match[2] else size - 1
    if last < int(match[1]):
        return None if match[2] else Span(size, size)
    return Span(min(int(match[1]), size), min(last + 1, size))
