"""Objects of the store for attempts whose workers cannot reach the store themselves.

The calls need the attempt's token. An attempt writes only below its job's prefix, with its own fence. It may
read its job's objects, and the pushed data that its spec pins.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from fastapi import Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from baton.domain.attempt_objects import (
    OBJECT_CRC32C_HEADER,
    PART_BYTES,
    UPLOAD_ID,
    ObjectView,
    SignedUrl,
    SignRequest,
)
from baton.domain.scalars import Crc32c
from baton.storage import BlobInfo
from baton.storage.port import OCTETS
from service.api.auth import OF_ATTEMPT, Caller
from service.api.body_buffers import BodyBuffers, read_into
from service.api.dependencies import AttemptId, Ctx, guarded_router
from service.api.disconnects import unless_gone
from service.api.problems import BODY, responses
from service.api.request_limits import LargeBody
from service.errors import Forbidden, InvalidRequest
from service.lanes import OBJECT_CALLS, OBJECTS
from service.principal import ATTEMPT, HeldAttempt, Principal
from service.store.attempt_objects import Part, Target
from service.store.blob_stream import opened

router = guarded_router("attempts")
BODY_SECONDS = 600.0
"""Time limit of a body. 8 MiB arrive within this time at 14 kB/s."""
_BUFFERS = BodyBuffers(PART_BYTES)
_RANGE = re.compile(r"bytes=(\d{1,18})-(\d{1,18})?")
_BINARY = {OCTETS: {"schema": {"type": "string", "format": "binary"}}}
Object = Annotated[str, Path(max_length=900, description="The name of the object, with '/' between its parts")]


class Place(BaseModel):
    """Which part of an object a body contains."""

    size: Annotated[int, Field(ge=0, le=2**53, description="Bytes of the whole object")]
    offset: Annotated[int, Field(ge=0, le=2**53, description="Where the body begins in the object")] = 0
    upload: Annotated[str, Field(pattern=UPLOAD_ID, description="The same random id for all parts")] = "0" * 32


class Conditions(BaseModel):
    """Checksums of 8 hexadecimal digits, and the condition of a write."""

    baton_crc32c: Annotated[Crc32c, Field(description="CRC32C of the body")]
    # The schema excludes null, because a header cannot have this value.
    baton_object_crc32c: Annotated[
        str, Field(pattern=r"^([0-9a-f]{8})?$", description="CRC32C of the whole object, if the body is a part of it")
    ] = ""
    if_none_match: Annotated[str, Field(description="`*`: 409 `already-exists` if the object exists")] = ""


@router.put(
    "/attempts/{attempt_id}/objects/{name:path}",
    dependencies=[OF_ATTEMPT],
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": _BINARY}},
    responses={202: {"description": "A part was stored; more parts are missing"}, **responses(404, 409, *BODY)},
)
@LargeBody(PART_BYTES, BODY_SECONDS)
async def put_object(
    ctx: Ctx,
    caller: Caller,
    request: Request,
    response: Response,
    attempt_id: AttemptId,  # noqa: ARG001 - the token is checked against it
    name: Object,
    place: Annotated[Place, Query()],
    given: Annotated[Conditions, Header()],
) -> ObjectView | None:
    """Store an object of the attempt, or a part of one with more than 8 MiB. Parts are sent in order.

    `Baton-CRC32C` is the checksum of the body. For a part, `Baton-Object-CRC32C` is the checksum of the whole object.
    409 `already-exists`: the object exists. 409 `parts-missing`: send all parts again.
    """
    hold = _hold(caller)
    media_type = request.headers.get("content-type", OCTETS)
    whole = given.baton_object_crc32c or given.baton_crc32c
    target = Target(name, place.size, whole, media_type, given.if_none_match == "*")
    async with OBJECTS.place(), _BUFFERS.one() as buffer:
        body = await read_into(buffer, request.stream())
        if place.offset + len(body) > place.size or (len(body) < place.size and not given.baton_object_crc32c):
            raise InvalidRequest("size: must be the bytes of the whole object, with the header Baton-Object-CRC32C")
        info = await ctx.objects.put(hold, target, Part(body, given.baton_crc32c, place.upload, place.offset))
    if info is None:
        response.status_code = 202
        return None
    return _view(info)


@router.get(
    "/attempts/{attempt_id}/objects/{name:path}",
    dependencies=[OF_ATTEMPT],
    response_class=Response,
    responses={
        200: {"content": _BINARY, "description": "The object"},
        206: {"content": _BINARY, "description": "The requested range"},
        **responses(404, 409),
    },
)
async def fetch_object(
    ctx: Ctx,
    caller: Caller,
    request: Request,
    attempt_id: AttemptId,  # noqa: ARG001 - the token is checked against it
    name: Object,
    stat: Annotated[bool, Query(description="Send the metadata as JSON, not the bytes")] = False,
) -> Response:
    """Read an object that the attempt may read, or one range of it as `bytes=FIRST-[LAST]`."""
    info = await ctx.objects.stat(_hold(caller), name)
    if stat:
        return Response(_view(info).model_dump_json(), media_type="application/json")
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    start = min(int(found[1]), info.size) if found else 0
    end = min(int(found[2]) + 1, info.size) if found and found[2] else info.size
    chunks = await unless_gone(request, opened(ctx.store, name, start, max(start, end), lane=OBJECT_CALLS))
    if chunks is None:
        return Response()  # the client has disconnected
    headers = {"Content-Length": str(max(0, end - start)), "Cache-Control": "private, no-store"}
    if info.crc32c is not None:
        headers[OBJECT_CRC32C_HEADER] = info.crc32c
    if found:
        headers["Content-Range"] = f"bytes {start}-{max(start, end - 1)}/{info.size}"
    return StreamingResponse(chunks, 206 if found else 200, headers, OCTETS)


@router.post("/attempts/{attempt_id}/objects:sign", dependencies=[OF_ATTEMPT], responses=responses(404, 409, *BODY))
async def sign_object(
    ctx: Ctx,
    caller: Caller,
    attempt_id: AttemptId,  # noqa: ARG001 - the token is checked against it
    message: SignRequest,
) -> SignedUrl:
    """Get a URL of the store for one object of the attempt. It expires within one lease.

    If the answer has no URL, the store cannot sign URLs. Then send the bytes to the service.
    """
    return await ctx.objects.sign(_hold(caller), message, timedelta(seconds=ctx.settings.lease_seconds))


def _hold(caller: Principal) -> HeldAttempt:
    if caller.hold is None:
        raise Forbidden("this call needs the token in the answer to a claim", [ATTEMPT])
    return caller.hold


def _view(info: BlobInfo) -> ObjectView:
    return ObjectView(
        name=info.name, size=info.size, crc32c=info.crc32c, updated=info.updated, content_type=info.content_type
    )
