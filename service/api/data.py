"""Pushed data: a client asks which packs are missing, sends them, and then the manifest that names them all."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from baton.domain.data_manifest import PACK_BYTES, DataName, Sha256, manifest_object, pack_object
from baton.domain.data_reference import DataReference
from baton.domain.data_views import DataPage, DataView, PackAnswer, PackQuery
from baton.domain.views import Listing
from baton.storage.port import OCTETS
from service.api.auth import DATA, READ, Caller
from service.api.context import Services
from service.api.dependencies import Ctx, PageSize, guarded_router
from service.api.disconnects import unless_gone
from service.api.jobs import Cursor
from service.api.problems import BODY, responses
from service.api.request_limits import LargeBody, read_bytes
from service.db.unit_of_work import Unit
from service.lanes import MANIFESTS, PACKS
from service.principal import Principal
from service.store.blob_stream import opened
from service.usecases import data_objects, pushed_data

router = guarded_router("data")
MANIFEST_BYTES = 128 << 20
"""Limit of an encoded manifest."""
BODY_SECONDS = 600.0
"""Time limit of the body of a pack or a manifest. A pack of 16 MiB arrives within this time at 28 kB/s."""
Pack = Annotated[Sha256, Path(description="SHA-256 of the pack's bytes, 64 hexadecimal digits")]
Digest = Annotated[Sha256, Path(description="The digest of the version, 64 hexadecimal digits")]
Name = Annotated[DataName, Path(description="The name of the data")]
_BINARY = {OCTETS: {"schema": {"type": "string", "format": "binary"}}}
SENT: dict[str, Any] = {"requestBody": {"required": True, "content": _BINARY}}
FETCHED: dict[str, Any] = {
    "response_class": Response,
    "responses": {200: {"content": _BINARY, "description": "The bytes"}, **responses(404)},
}


@router.post("/packs:missing", dependencies=[DATA], responses=responses(409, *BODY))
async def find_missing_packs(ctx: Ctx, caller: Caller, query: PackQuery) -> PackAnswer:
    """Find the packs that the caller's project has not sent yet, or that the store lacks.

    The others are kept for at least 23 hours, for the manifest that follows.
    """
    return PackAnswer(missing=await ctx.data.missing(query.packs, caller.home))


@router.put(
    "/packs/{sha256}",
    dependencies=[DATA],
    status_code=204,
    openapi_extra=SENT,
    responses=responses(409, 507, *BODY),
)
@LargeBody(PACK_BYTES, BODY_SECONDS)
async def put_pack(ctx: Ctx, caller: Caller, request: Request, sha256: Pack) -> None:
    """Store a pack, unless the store already has it. 422 `wrong-digest`: the body has another SHA-256.

    503 `busy`: too many concurrent uploads, or a pack with this digest is being deleted; repeat it after `Retry-After`.
    507 `data-quota`: the limit of the service or the quota of the project; `detail` names data to delete.
    """
    async with PACKS.place():
        await ctx.data.put_pack(sha256, await read_bytes(request), caller.home)


@router.put(
    "/manifests/{digest}",
    dependencies=[DATA],
    status_code=201,
    openapi_extra=SENT,
    responses={
        200: {"model": DataView, "description": "The newest version has this digest"},
        **responses(409, 507, *BODY),
    },
)
@LargeBody(MANIFEST_BYTES, BODY_SECONDS)
async def push_data(
    ctx: Ctx,
    caller: Caller,
    request: Request,
    response: Response,
    digest: Digest,
    name: Annotated[DataName, Query(description="The name of the data; this becomes its newest version")],
) -> DataView:
    """Publish a manifest, compressed JSON, as the newest version of a name.

    409 `packs-missing`: the store lacks packs; `errors` names the first 1,000. Send them, then repeat this call.
    """
    async with MANIFESTS.place():
        view, new = await ctx.data.publish(name, digest, bytes(await read_bytes(request)), caller)
    response.status_code = 201 if new else 200
    return view


@router.get("/data", dependencies=[READ])
def list_data(ctx: Ctx, limit: PageSize = 50, cursor: Cursor | None = None) -> DataPage:
    """List all versions of pushed data by pages, newest first. An administrator sees those of all projects."""
    with ctx.database.read() as session:
        return pushed_data.page(Unit(session), None if cursor is None else int(cursor), limit)


@router.get("/data/{name}", dependencies=[READ], responses=responses(404))
def list_data_versions(
    ctx: Ctx, caller: Caller, name: Name, limit: PageSize = 50, cursor: Cursor | None = None
) -> DataPage:
    """List the versions of one name by pages, newest first."""
    with ctx.database.read() as session:
        before = None if cursor is None else int(cursor)
        return pushed_data.page_of(Unit(session), name, caller.home, before, limit)


@router.get("/data/{name}/{digest}/manifest", dependencies=[READ], **FETCHED)
async def fetch_manifest(ctx: Ctx, caller: Caller, request: Request, name: Name, digest: Digest) -> Response:
    """Download the manifest of a version, compressed JSON. It names the files and the packs with their bytes."""
    await run_in_threadpool(_find, ctx, DataReference(name, digest), caller)
    return await _sent(ctx, caller, request, manifest_object(digest))


@router.get("/packs/{sha256}", dependencies=[READ], **FETCHED)
async def fetch_pack(ctx: Ctx, caller: Caller, request: Request, sha256: Pack) -> Response:
    """Download a pack that the caller's project has."""
    return await _sent(ctx, caller, request, pack_object(sha256))


@router.delete("/data/{name}", dependencies=[DATA], responses=responses(404, 409))
def delete_data(ctx: Ctx, caller: Caller, name: Name) -> Listing[DataView]:
    """Delete all versions of a name. 409 `data-in-use`: unfinished jobs need one of them."""
    return _remove(ctx, DataReference(name), caller)


@router.delete("/data/{name}/{digest}", dependencies=[DATA], responses=responses(404, 409))
def delete_data_version(ctx: Ctx, caller: Caller, name: Name, digest: Digest) -> Listing[DataView]:
    """Delete one version. 409 `data-in-use`: unfinished jobs need it."""
    return _remove(ctx, DataReference(name, digest), caller)


def _find(ctx: Services, wanted: DataReference, caller: Principal) -> None:
    with ctx.database.read() as session:
        pushed_data.find(Unit(session), wanted, caller.home)


def _remove(ctx: Services, wanted: DataReference, caller: Principal) -> Listing[DataView]:
    with ctx.database.write() as session:
        return Listing(items=pushed_data.remove(Unit(session), wanted, caller))


async def _sent(ctx: Services, caller: Principal, request: Request, name: str) -> Response:
    size = await run_in_threadpool(_size, ctx, name, caller.home)
    chunks = await unless_gone(request, opened(ctx.store, name, 0, size))
    if chunks is None:
        return Response()  # the client has disconnected
    headers = {"Content-Length": str(size), "Cache-Control": "private, no-store"}
    return StreamingResponse(chunks, headers=headers, media_type=OCTETS)


def _size(ctx: Services, name: str, project: str) -> int:
    with ctx.database.read() as session:
        return data_objects.size(Unit(session), name, project)
