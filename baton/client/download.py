"""Downloads an artifact atomically and verifies its checksum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google_crc32c
import httpx

from baton.client.errors import ApiError, DownloadError, Unreachable
from baton.client.transport import Transport, foreign, problem_of


def download(transport: Transport, path: str, target: Path, crc32c: str | None) -> Path:
    """Downloads `path` to the file `target`. `crc32c`: the expected checksum as 8 hex digits, if known.

    Raises:
        DownloadError: the checksum differs, or the store refuses the request.
    """
    partial = target.with_name(target.name + ".part")
    checksum = _fetch(transport, path, partial)
    if crc32c is not None and checksum != crc32c:
        partial.unlink()
        raise DownloadError(f"{target.name} was damaged in transfer (its checksum differs): download it again")
    return partial.replace(target)


def _fetch(transport: Transport, path: str, target: Path) -> str:
    checksum: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]  # its package has no annotations
    try:
        with transport.http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
                raise _error(transport.url, response)
            with target.open("wb") as file:
                for block in response.iter_bytes():
                    checksum.update(block)
                    file.write(block)
    except httpx.RequestError as error:
        raise Unreachable(transport.url, str(error) or type(error).__name__) from error
    return str(checksum.digest().hex())


def _error(url: str, response: httpx.Response) -> Exception:
    if found := problem_of(response):
        return ApiError(found)
    if response.history:  # the service redirected to its store
        return DownloadError(f"the store answered {response.status_code} for {response.url.path}: download it again")
    return foreign(url, response)
