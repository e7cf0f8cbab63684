"""Writes manifests and packs of pushed data. service.usecases.data_objects explains why none is deleted too early."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from fastapi.concurrency import run_in_threadpool

from baton.domain.data_manifest import DataManifest, manifest_object, pack_object
from baton.domain.data_reference import DataReference
from baton.domain.data_views import DataView
from baton.storage import AlreadyExists, BlobStore
from service.db.engine import Database
from service.db.unit_of_work import Unit
from service.errors import DataQuota, PacksMissing, WrongDigest
from service.lanes import DATA
from service.principal import Principal
from service.store.identity import ServiceStore
from service.usecases import data_objects, pushed_data
from service.usecases.data_objects import Known, chunks

AT_ONCE = 125
"""Stats in one call of a thread."""
MAX_SHOWN = 1_000
MOST_TEXT = 256 << 20
"""Limit of a manifest in bytes, uncompressed. It is enough for about two million files."""
TOTAL_SECONDS = 5.0
_T = TypeVar("_T")


class PushedData:
    """The service's side of a push. `limit`: maximum bytes of all objects; 0: no limit.

    Calls to the store run in the lane DATA. All methods raise StoreError, LaneFull, and StoreInDoubt if the store may
    be the wrong one.
    """

    def __init__(self, store: BlobStore, database: Database, own: ServiceStore, limit: int = 0) -> None:
        self._store, self._database, self._own, self._limit = store, database, own, limit
        self._total, self._counted_at = 0, float("-inf")

    async def missing(self, packs: Sequence[tuple[str, int]]) -> list[str]:
        """The digests of those `packs`, (SHA-256, size), that the store lacks. All others are kept for a day."""
        self._own.check_doubt()
        sizes = {pack_object(sha256): size for sha256, size in packs}
        found = await self._present(sizes)
        return [sha256 for sha256, _ in packs if pack_object(sha256) not in found]

    async def put_pack(self, sha256: str, body: bytes | bytearray) -> None:
        """Store a pack. Raises WrongDigest, DataQuota, BeingDeleted."""
        self._own.check_doubt()
        content, name = memoryview(body), pack_object(sha256)
        found = await DATA.run(lambda: hashlib.sha256(content).hexdigest())
        if found != sha256:
            raise WrongDigest(f"the body has the SHA-256 {found}, the address names {sha256}: send it again")
        await run_in_threadpool(self._reserve, name, len(content))
        await DATA.run(self._write_pack, name, content)
        await self._rows(lambda unit: data_objects.seen(unit, [name]))

    async def publish(self, name: str, digest: str, body: bytes, caller: Principal) -> tuple[DataView, bool]:
        """Store a manifest and make it the newest version of the name. Return it, and whether it is new.

        Raises InvalidManifest, WrongDigest, PacksMissing, DataQuota, BeingDeleted.
        """
        self._own.check_doubt()
        manifest = await DATA.run(_decoded, body, digest)
        numbers = await self._all_packs(manifest)
        target = manifest_object(digest)
        row = await run_in_threadpool(self._reserve, target, len(body))
        written = await DATA.run(self._write_manifest, target, body, row)
        await self._rows(lambda unit: data_objects.seen(unit, [target]))
        if written:
            await self._hold(row.number, numbers)
        return await self._rows(lambda unit: pushed_data.publish(unit, name, manifest, row.number, caller))

    async def _all_packs(self, manifest: DataManifest) -> dict[str, int]:
        """The row number of each pack, by name. Raises PacksMissing."""
        sizes = {pack_object(pack.sha256): pack.size for pack in manifest.packs}
        numbers: dict[str, int] = {}
        for names in chunks(sizes):
            numbers |= await self._present({name: sizes[name] for name in names})
        if missing := [pack.sha256 for pack in manifest.packs if pack_object(pack.sha256) not in numbers]:
            raise PacksMissing(list(dict.fromkeys(missing)), MAX_SHOWN)
        return numbers

    async def _present(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The row numbers, by name, of those objects that are in the store with this size."""
        known = await self._rows(lambda unit: data_objects.use(unit, list(sizes)))
        fits = {name: one for name, one in known.items() if one.size == sizes[name]}
        unseen = [name for name, one in fits.items() if not one.seen]
        parts = [unseen[start : start + AT_ONCE] for start in range(0, len(unseen), AT_ONCE)]
        found = {name for part in await _all(DATA.run(self._there, part, sizes) for part in parts) for name in part}
        if found:
            await self._rows(lambda unit: data_objects.seen(unit, found))
        return {name: one.number for name, one in fits.items() if one.seen or name in found}

    def _there(self, names: Collection[str], sizes: Mapping[str, int]) -> list[str]:
        return [name for name in names if (info := self._store.stat(name)) is not None and info.size == sizes[name]]

    async def _hold(self, whole: int, numbers: Mapping[str, int]) -> None:
        gone: list[str] = []
        for names in chunks(numbers):
            some = {name: numbers[name] for name in names}
            gone += await self._rows(partial(data_objects.hold, whole=whole, parts=some))
        if gone:
            raise PacksMissing([name.rpartition("/")[2] for name in gone], MAX_SHOWN)

    def _reserve(self, name: str, size: int) -> Known:
        self._check_quota(size)
        with self._database.write() as session:
            return data_objects.reserve(Unit(session), name, size)

    def _check_quota(self, size: int) -> None:
        """Raise DataQuota if the limit is exceeded. Counts the rows only every few seconds, so it may be late."""
        if not self._limit:
            return
        if time.monotonic() > self._counted_at + TOTAL_SECONDS or self._total + size > self._limit:
            with self._database.read() as session:
                self._total, self._counted_at = data_objects.bytes_used(Unit(session)), time.monotonic()
        if self._total + size > self._limit:
            raise DataQuota(self._full())
        self._total += size

    def _full(self) -> str:
        with self._database.read() as session:
            old = pushed_data.deletable(Unit(session))
        listed = "; ".join(
            f"baton data delete {DataReference(one.name, one.digest)} "
            f"({one.bytes:,} bytes, last used {one.last_used_at:%Y-%m-%d})"
            for one in old
        )
        what = f"delete what you no longer need: {listed}" if listed else "unfinished jobs need all of it"
        return (
            f"pushed data uses {self._total:,} of {self._limit:,} bytes (BATON_DATA_BYTES): {what}. The space of "
            "deleted data is free within a day"
        )

    def _write_pack(self, name: str, content: memoryview) -> None:
        try:
            self._store.put(name, content, if_absent=True)
        except AlreadyExists:
            info = self._store.stat(name)
            if info is None or info.size != len(content):  # somebody else changed the object
                self._store.put(name, content)

    def _write_manifest(self, name: str, body: bytes, row: Known) -> bool:
        """Write the manifest, unless a version already has it. In that case, the existing version holds the packs."""
        info = self._store.stat(name) if row.held else None
        if info is not None and info.size == row.size:
            return False
        self._store.put(name, body)
        return True

    async def _rows(self, act: Callable[[Unit], _T]) -> _T:
        return await run_in_threadpool(self._in_transaction, act)

    def _in_transaction(self, act: Callable[[Unit], _T]) -> _T:
        with self._database.write() as session:
            return act(Unit(session))


async def _all(calls: Iterable[Awaitable[_T]]) -> list[_T]:
    return list(await asyncio.gather(*calls))


def _decoded(body: bytes, digest: str) -> DataManifest:
    manifest = DataManifest.decode(body, MOST_TEXT)
    if manifest.digest != digest:
        raise WrongDigest(f"the manifest has the digest {manifest.digest}, the address names {digest}")
    return manifest
