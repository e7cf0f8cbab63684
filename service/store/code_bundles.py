"""Receives code bundles. The body goes through a file on the service's disk, so its size needs no memory."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import IO, TypeVar

from fastapi.concurrency import run_in_threadpool

from baton.domain.code_bundle import bundle_object, members
from baton.domain.code_views import CodeView
from baton.storage import BlobStore
from service.db.engine import Database
from service.db.unit_of_work import Unit
from service.errors import WrongDigest
from service.lanes import DATA
from service.principal import Principal
from service.store.identity import ServiceStore
from service.usecases import code_bundles, data_objects
from service.usecases.data_objects import Known

PIECE = 1 << 20
"""Bytes that are collected before a thread writes them to the file."""
_T = TypeVar("_T")


class CodeBundles:
    """The service's side of a push of code. `limit`: maximum bytes of all bundles; 0: no limit.

    Raises StoreError, LaneFull, and StoreInDoubt if the store may be the wrong one.
    """

    def __init__(self, store: BlobStore, database: Database, own: ServiceStore, limit: int) -> None:
        self._store, self._database, self._own, self._limit = store, database, own, limit

    async def put(self, digest: str, body: AsyncIterator[bytes], caller: Principal) -> tuple[CodeView, bool]:
        """Store a bundle. Return it, and whether it is new.

        Raises WrongDigest, InvalidBundle, CodeQuota, BeingDeleted.
        """
        self._own.check_doubt()
        with tempfile.NamedTemporaryFile(prefix="baton-code-") as file:
            size = await _spool(body, file)
            return await self._store_checked(digest, Path(file.name), size, caller)

    async def _store_checked(self, digest: str, path: Path, size: int, caller: Principal) -> tuple[CodeView, bool]:
        files = await DATA.run(_checked, path, digest)
        name = bundle_object(digest)
        row = await self._rows(lambda unit: code_bundles.reserve(unit, digest, size, caller.home, self._limit))
        await DATA.run(self._write, name, path, row)
        await self._rows(lambda unit: data_objects.seen(unit, [name]))
        return await self._rows(lambda unit: code_bundles.publish(unit, digest, files, row.number, caller))

    def _write(self, name: str, path: Path, row: Known) -> None:
        info = self._store.stat(name) if row.held else None
        if info is None or info.size != row.size:
            self._store.put(name, path)

    async def _rows(self, act: Callable[[Unit], _T]) -> _T:
        return await run_in_threadpool(self._in_transaction, act)

    def _in_transaction(self, act: Callable[[Unit], _T]) -> _T:
        with self._database.write() as session:
            return act(Unit(session))


async def _spool(body: AsyncIterator[bytes], file: IO[bytes]) -> int:
    """Write the body to the file. Return its size in bytes."""
    piece, size = bytearray(), 0
    async for chunk in body:
        piece += chunk
        size += len(chunk)
        if len(piece) >= PIECE:
            await DATA.run(file.write, bytes(piece))
            piece.clear()
    await DATA.run(file.write, bytes(piece))
    await DATA.run(file.flush)
    return size


def _checked(path: Path, digest: str) -> int:
    """The number of files of the bundle. Raises WrongDigest, InvalidBundle."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != digest:
            raise WrongDigest(f"the body has the SHA-256 {found}, the address names {digest}: send it again")
        file.seek(0)
        return sum(1 for _ in members(file.read))
