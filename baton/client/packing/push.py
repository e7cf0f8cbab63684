"""Packs a folder and sends its bundle, unless the service has it."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from baton.client.errors import ApiError, LocalDataError
from baton.client.packing.selection import Chosen, LeftOut, Selection, select_files
from baton.client.pushing.push import PATIENCE, UPLOAD_SECONDS
from baton.client.transport import Transport
from baton.domain.code_bundle import PREFIX, archive
from baton.domain.code_views import CodeView
from baton.domain.text import safe

_CHUNK = 1 << 20
MISSING = 404


class CodePushed(CodeView):
    """The pushed bundle. `sent`: False if the service had it already. `left_out`: the files, each with the reason.

    `paths`: the files of the bundle, relative to the folder.
    """

    sent: bool
    left_out: tuple[LeftOut, ...]
    paths: tuple[str, ...]

    @property
    def code(self) -> str:
        """The digest as `program.code` of a spec."""
        return f"{PREFIX}{self.digest}"


def push_code(transport: Transport, folder: Path) -> CodePushed:
    """Pack a folder and send the bundle. A repeated call sends nothing. Raises LocalDataError."""
    selection = select_files(folder)
    with tempfile.TemporaryFile(prefix="baton-code-") as file:
        digest = write_archive(selection, file)
        view, sent = _sent(transport, digest, file)
    paths = tuple(one.member.path for one in selection.files)
    return CodePushed(**view.model_dump(), sent=sent, left_out=selection.left_out, paths=paths)


def write_archive(selection: Selection, target: IO[bytes]) -> str:
    """Write the bundle. Returns its digest. Raises LocalDataError if a file changes meanwhile."""
    digest = hashlib.sha256()
    for chunk in archive((one.member, _content(one)) for one in selection.files):
        digest.update(chunk)
        target.write(chunk)
    return digest.hexdigest()


def _content(file: Chosen) -> Iterator[bytes]:
    left = file.member.size
    try:
        with file.source.open("rb") as source:
            while chunk := source.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
    except OSError as error:
        raise LocalDataError(f"{safe(file.member.path)} cannot be read: {error.strerror}") from error
    if left:
        raise LocalDataError(f"{safe(file.member.path)} changed while it was packed: run the command again")


def _sent(transport: Transport, digest: str, file: IO[bytes]) -> tuple[CodeView, bool]:
    """The bundle at the service, and whether it was sent now."""
    path = f"/v1/code/{digest}"
    try:
        return CodeView.model_validate_json(transport.request("GET", path).content), False
    except ApiError as error:
        if error.status != MISSING:
            raise
    file.seek(0)
    answer = transport.request(
        "PUT",
        path,
        content=file.read(),
        headers={"Content-Type": "application/octet-stream"},
        patience=PATIENCE,
        timeout=UPLOAD_SECONDS,
    )
    return CodeView.model_validate_json(answer.content), True
