"""Fetching an artifact whole, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google_crc32c
import httpx

from baton.client.errors import ApiError, DownloadError, Unreachable
from baton.client.transport import Transport, foreign, problem_of


def download(transport: Transport, path: str, target: Path, crc32c: str | None) -> Path:
    """Writes what is at `path` to the file `target`; `crc32c` is what its bytes must come to, in hex, if known.

    Raises:
        DownloadError: what arrived is not what the service listed.
    """
    partial = target.with_name(target.name + ".part")
    checksum = _fetch(transport, path, partial)
    if crc32c is not None and checksum != crc32c:
        partial.unlink()
        raise DownloadError(f"{target.name} arrived damaged (its checksum differs): fetch it again")
    return partial.replace(target)


def _fetch(transport: Transport, path: str, target: Path) -> str:
    checksum: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]  # its package has no annotations
    try:
        with transport.http.stream("GET", path) as response, target.open("wb") as file:
            if not response.is_success:
                response.read()
                raise _error(transport, response)
            for block in response.iter_bytes():
                checksum.update(block)
                file.write(block)
    except httpx.RequestError as error:
        raise Unreachable(transport.url, str(error) or type(error).__name__) from error
    return str(checksum.digest().hex())


def _error(transport: Transport, response: httpx.Response) -> Exception:
    if found := problem_of(response):
        return ApiError(found)
    if response.history:  # the service sent us to its store
        return DownloadError(f"the store gave HTTP {response.status_code} for {response.url.path}: fetch it again")
    return foreign(transport.url, response)
