"""Code bundles: a client sends the archive of a program's files, and then submits a job that names its digest."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Request, Response

from baton.domain.code_bundle import BUNDLE_BYTES
from baton.domain.code_views import CodeView
from baton.domain.data_manifest import Sha256
from baton.storage.port import OCTETS
from service.api.auth import PROGRAMS, READ_OR_PROGRAMS, Caller
from service.api.dependencies import Ctx, guarded_router
from service.api.problems import BODY, responses
from service.api.request_limits import LargeBody
from service.db.unit_of_work import Unit
from service.lanes import CODE
from service.usecases import code_bundles

router = guarded_router("code")
BODY_SECONDS = 600.0
"""Time limit of a body. 100 MiB arrive within this time at 175 kB/s."""
Digest = Annotated[Sha256, Path(description="SHA-256 of the archive, 64 hexadecimal digits")]
_ARCHIVE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


@router.put(
    "/code/{digest}",
    dependencies=[PROGRAMS],
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": {OCTETS: _ARCHIVE}}},
    responses={
        200: {"model": CodeView, "description": "The bundle is there already"},
        **responses(409, 507, *BODY),
    },
)
@LargeBody(BUNDLE_BYTES, BODY_SECONDS)
async def push_code(ctx: Ctx, caller: Caller, request: Request, response: Response, digest: Digest) -> CodeView:
    """Store a code bundle: a tar archive without compression, with regular files only. It can be repeated.

    The bundle belongs to the caller's project. Another project that needs the same bundle sends it too.
    A job names it as `program.code: sha256:DIGEST`. A bundle that no job names is deleted a day after its last push.
    422 `invalid-bundle`: the archive has an entry that a bundle must not have. 507 `code-quota`: the limit of the
    service, or the quota of the project.
    """
    async with CODE.place():
        view, new = await ctx.code.put(digest, request.stream(), caller)
    response.status_code = 201 if new else 200
    return view


@router.get("/code/{digest}", dependencies=[READ_OR_PROGRAMS], responses=responses(404))
def show_code(ctx: Ctx, caller: Caller, digest: Digest) -> CodeView:
    """Get the size and the dates of a code bundle. 404 also if it is about to be deleted: push it again."""
    with ctx.database.read() as session:
        return code_bundles.find(Unit(session), digest, caller.home)
