"""Downloads an artifact atomically and verifies its checksum. Asynchronous.

Generated from baton/client/download.py by scripts/async_client.py: change it there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import google_crc32c
import httpx

from baton.client.aio.transport import Transport
from baton.client.download import _error
from baton.client.errors import DownloadError, Unreachable


async def download(transport: Transport, path: str, target: Path, crc32c: str | None) -> Path:
    """Downloads `path` to the file `target`. `crc32c`: the expected checksum as 8 hex digits, if known.

    Raises:
        DownloadError: the checksum differs, or the store refuses the request.
    """
    partial = target.with_name(target.name + ".part")
    checksum = await _fetch(transport, path, partial)
    if crc32c is not None and checksum != crc32c:
        partial.unlink()
        raise DownloadError(f"{target.name} was damaged in transfer (its checksum differs): download it again")
    return partial.replace(target)


async def _fetch(transport: Transport, path: str, target: Path) -> str:
    checksum: Any = google_crc32c.Checksum()  # type: ignore[no-untyped-call]  # its package has no annotations
    try:
        async with transport.http.stream("GET", path) as response:
            if not response.is_success:
                await response.aread()
                raise _error(transport.url, response)
            with target.open("wb") as file:
                async for block in response.aiter_bytes():
                    checksum.update(block)
                    file.write(block)
    except httpx.RequestError as error:
        raise Unreachable(transport.url, str(error) or type(error).__name__) from error
    return str(checksum.digest().hex())
