"""The files with which a machine becomes a worker: a script, this release's wheel, and the versions that it needs."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Request, Response

from service.api.auth import WORK
from service.api.dependencies import Ctx, guarded_router
from service.api.jobs import matches
from service.api.problems import responses
from service.errors import NotFound
from service.install.files import install_files

router = guarded_router("install")
TEXT = {"schema": {"type": "string"}}
FILES = {
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
    "text/x-python": TEXT,
    "text/plain": TEXT,
}


@router.get(
    "/install/{name}",
    dependencies=[WORK],
    response_class=Response,
    responses={
        200: {"content": FILES, "description": "The file"},
        304: {"description": "Not changed"},
        **responses(404),
    },
)
def fetch_install_file(ctx: Ctx, request: Request, name: Annotated[str, Path(max_length=200)]) -> Response:
    """Download `worker.py`, a script that installs this service's release as a worker and starts it.

    The script requests the other files: the wheel, `requirements-worker-cpu.txt` and `requirements-worker-gpu.txt`. The
    script contains their SHA-256.
    """
    files = install_files(ctx.settings.wheel)
    if name not in files:
        raise NotFound(f"there is no file {name[:100]!r} to install; there are: {', '.join(sorted(files))}")
    file = files[name]
    headers = {
        "ETag": f'"{file.sha256}"',
        "Content-Disposition": f'attachment; filename="{name}"',
    }
    if matches(request, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)
