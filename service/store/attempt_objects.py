"""Reads and writes objects of the store for attempts whose workers cannot reach the store themselves.

A body has at most PART_BYTES. The parts of a larger object are stored as objects below the job's prefix `uploads`. So
any replica of the service can take the next part, and a part that arrives twice is harmless. When the last part
arrives, the service joins all parts into the object. `service.reconciler.orphaned_objects` deletes parts of attempts
that ended.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from fastapi.concurrency import run_in_threadpool

from baton.domain.attempt_objects import (
    SignedUrl,
    SignRequest,
    must_be_new,
    upload_part,
    upload_prefix,
)
from baton.storage import AlreadyExists, BlobInfo, BlobStore, NotFound, StoreError, StreamedPut, crc32c_of
from baton.storage.directory import DirectoryStore
from baton.storage.port import OCTETS
from service.db.engine import Database
from service.db.unit_of_work import Unit
from service.errors import PartsMissing, WrongDigest
from service.lanes import OBJECT_CALLS, OBJECTS, LowPriority
from service.principal import HeldAttempt
from service.store.identity import ServiceStore
from service.usecases import attempt_objects, pinned_data

_T = TypeVar("_T")
DISK_WRITES = 1
"""So many bodies are written into a directory store at a time. With more of them heartbeats wait longer."""
JOINS = 4
"""So many objects are made out of their parts at a time."""


@dataclass(frozen=True)
class Target:
    """The object to write. `crc32c`: the checksum of the whole object, 8 hex digits. `size` in bytes."""

    name: str
    size: int
    crc32c: str
    content_type: str = OCTETS
    if_absent: bool = False


@dataclass(frozen=True)
class Part:
    """One body. `upload`: a random id that all parts of one upload have. `offset` in bytes."""

    body: memoryview
    crc32c: str
    upload: str = ""
    offset: int = 0


class AttemptObjects:
    """The store of attempts. Reads run in the lane OBJECT_CALLS, writes in threads with a low priority.

    All methods check the attempt's rights first: they raise Forbidden and LeaseLost. They also raise StoreError,
    LaneFull, and StoreInDoubt if the store may be the wrong one.
    """

    def __init__(self, store: BlobStore, database: Database, own: ServiceStore) -> None:
        self._store, self._database, self._own = store, database, own
        # Writes to a disk need a processor. Writes over a network wait.
        self._writes = LowPriority(
            "object-writes", DISK_WRITES if isinstance(store, DirectoryStore) else OBJECTS.threads
        )
        self._joins = LowPriority("object-joins", JOINS)

    async def put(self, hold: HeldAttempt, target: Target, part: Part) -> BlobInfo | None:
        """Store an object, or a part of it. Return the object's metadata; None while parts are missing.

        Raises WrongDigest, PartsMissing, AlreadyExists.
        """
        self._own.check_doubt()
        await self._rows(lambda unit: attempt_objects.check_write(unit, hold, target.name))
        joins = 0 < part.offset == target.size - len(part.body)
        threads = self._joins if joins else self._writes
        return await threads.run(self._put, hold, target, part)

    async def stat(self, hold: HeldAttempt, name: str) -> BlobInfo:
        """The metadata of an object. Raises NotFound of the store."""
        await self._check_read(hold, name)
        found = await OBJECT_CALLS.run(self._store.stat, name)
        if found is None:
            raise NotFound(f"There is no object {name!r}.")
        return found

    async def sign(self, hold: HeldAttempt, request: SignRequest, expires: timedelta) -> SignedUrl:
        """A URL for one object, if the store can sign."""
        if request.write:
            self._own.check_doubt()
            await self._rows(lambda unit: attempt_objects.check_write(unit, hold, request.name))
            return await OBJECT_CALLS.run(self._sign_write, hold, request, expires)
        await self._check_read(hold, request.name)
        return SignedUrl(url=await OBJECT_CALLS.run(self._store.signed_url, request.name, expires))

    async def _check_read(self, hold: HeldAttempt, name: str) -> None:
        self._own.check_doubt()
        digests = await self._rows(lambda unit: attempt_objects.check_read(unit, hold, name))
        if digests and not await OBJECT_CALLS.run(pinned_data.hold, self._store, digests, name):
            raise attempt_objects.foreign(name)

    def _sign_write(self, hold: HeldAttempt, request: SignRequest, expires: timedelta) -> SignedUrl:
        signed = self._store.signed_put(
            request.name,
            expires,
            if_absent=request.if_absent or must_be_new(request.name, hold.job_id),
            content_type=request.content_type,
            size=request.size,
        )
        if signed is None or (must_be_new(request.name, hold.job_id) and not signed.create_only):
            return SignedUrl()
        return SignedUrl(url=signed.url, headers=dict(signed.headers))

    def _put(self, hold: HeldAttempt, target: Target, part: Part) -> BlobInfo | None:
        found = crc32c_of(part.body)
        if found != part.crc32c:
            raise WrongDigest(f"the body has the CRC32C {found}, its header says {part.crc32c}: send it again")
        if_absent = target.if_absent or must_be_new(target.name, hold.job_id)
        if len(part.body) == target.size:
            return self._store.put(target.name, part.body, if_absent=if_absent, content_type=target.content_type)
        prefix = upload_prefix(hold.job_id, hold.fence, part.upload)
        self._store.put(upload_part(prefix, part.offset), part.body)
        if part.offset + len(part.body) < target.size:
            return None
        return self._assemble(prefix, target, if_absent=if_absent)

    def _assemble(self, prefix: str, target: Target, *, if_absent: bool) -> BlobInfo:
        """Make the object out of its parts, and delete them."""
        parts, end = [], 0
        for info in self._store.list(f"{prefix}/"):
            if info.name != upload_part(prefix, end):
                break
            parts.append(info.name)
            end += info.size
        if end != target.size:
            # An earlier call may have made the object and deleted the parts, but its answer was lost.
            done = self._store.stat(target.name)
            if done is None or done.size != target.size:
                raise PartsMissing(f"the parts of {target.name} end at byte {end} of {target.size}: send it again")
            if if_absent:
                raise AlreadyExists(f"The object {target.name!r} exists already and is not replaced.")
            return done
        info = self._write(parts, target, if_absent=if_absent)
        if info.crc32c not in (None, target.crc32c):
            self._store.delete(target.name)
            raise WrongDigest(f"{target.name} has the CRC32C {info.crc32c}, not {target.crc32c}: send it again")
        for name in parts:
            with suppress(StoreError):
                self._store.delete(name)
        return info

    def _write(self, parts: Sequence[str], target: Target, *, if_absent: bool) -> BlobInfo:
        if isinstance(self._store, StreamedPut):
            return self._store.put_stream(target.name, self._chunks(parts), if_absent=if_absent)
        with tempfile.TemporaryDirectory(prefix="baton-upload-") as folder:
            path = Path(folder) / "object"
            with path.open("wb") as file:
                for chunk in self._chunks(parts):
                    file.write(chunk)
            return self._store.put(target.name, path, if_absent=if_absent, content_type=target.content_type)

    def _chunks(self, parts: Sequence[str]) -> Iterator[bytes]:
        for name in parts:
            yield from self._store.open(name)

    async def _rows(self, act: Callable[[Unit], _T]) -> _T:
        return await run_in_threadpool(self._in_transaction, act)

    def _in_transaction(self, act: Callable[[Unit], _T]) -> _T:
        with self._database.read() as session:
            return act(Unit(session))
