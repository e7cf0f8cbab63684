"""Writes manifests and packs of pushed data. service.usecases.data_objects explains why none is deleted too early."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
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
from service.usecases import data_objects, project_quotas, pushed_data
from service.usecases.data_objects import Known, chunks

AT_ONCE = 125
"""Stats in one call of a thread."""
MAX_SHOWN = 1_000
MOST_TEXT = 256 << 20
"""Limit of a manifest in bytes, uncompressed. It is enough for about two million files."""
TOTAL_SECONDS = 5.0
_T = TypeVar("_T")


@dataclass
class _Meter:
    """Bytes of objects, and when they were counted, by this process's clock."""

    total: int = 0
    counted_at: float = float("-inf")


class PushedData:
    """The service's side of a push. `limit`: maximum bytes of all objects; 0: no limit.

    A project is told only about objects that it has sent itself.

    Calls to the store run in the lane DATA. All methods raise StoreError, LaneFull, and StoreInDoubt if the store may
    be the wrong one.
    """

    def __init__(self, store: BlobStore, database: Database, own: ServiceStore, limit: int = 0) -> None:
        self._store, self._database, self._own, self._limit = store, database, own, limit
        self._meters: dict[str | None, _Meter] = {}

    async def missing(self, packs: Sequence[tuple[str, int]], project: str) -> list[str]:
        """The digests of those `packs`, (SHA-256, size), that the project must send. All others are kept for a day."""
        self._own.check_doubt()
        sizes = {pack_object(sha256): size for sha256, size in packs}
        found = await self._present(sizes, project)
        return [sha256 for sha256, _ in packs if pack_object(sha256) not in found]

    async def put_pack(self, sha256: str, body: bytes | bytearray, project: str) -> None:
        """Store a pack. Raises WrongDigest, DataQuota, BeingDeleted."""
        self._own.check_doubt()
        content, name = memoryview(body), pack_object(sha256)
        found = await DATA.run(lambda: hashlib.sha256(content).hexdigest())
        if found != sha256:
            raise WrongDigest(f"the body has the SHA-256 {found}, the address names {sha256}: send it again")
        row = await run_in_threadpool(self._reserve, name, len(content), project)
        await DATA.run(self._write_pack, name, content)
        await self._rows(lambda unit: _sent(unit, name, row, project))

    async def publish(self, name: str, digest: str, body: bytes, caller: Principal) -> tuple[DataView, bool]:
        """Store a manifest and make it the newest version of the name. Return it, and whether it is new.

        Raises InvalidManifest, WrongDigest, PacksMissing, DataQuota, BeingDeleted.
        """
        self._own.check_doubt()
        manifest = await DATA.run(_decoded, body, digest)
        project = caller.home
        numbers = await self._all_packs(manifest, project)
        target = manifest_object(digest)
        row = await run_in_threadpool(self._reserve, target, len(body), project)
        written = await DATA.run(self._write_manifest, target, body, row)
        await self._rows(lambda unit: _sent(unit, target, row, project))
        if written:
            await self._hold(row.number, numbers)
        return await self._rows(lambda unit: pushed_data.publish(unit, name, manifest, row.number, caller))

    async def _all_packs(self, manifest: DataManifest, project: str) -> dict[str, int]:
        """The row number of each pack, by name. Raises PacksMissing."""
        sizes = {pack_object(pack.sha256): pack.size for pack in manifest.packs}
        numbers: dict[str, int] = {}
        for names in chunks(sizes):
            numbers |= await self._present({name: sizes[name] for name in names}, project)
        if missing := [pack.sha256 for pack in manifest.packs if pack_object(pack.sha256) not in numbers]:
            raise PacksMissing(list(dict.fromkeys(missing)), MAX_SHOWN)
        return numbers

    async def _present(self, sizes: Mapping[str, int], project: str) -> dict[str, int]:
        """The row numbers, by name, of those objects of the project that are in the store with this size."""
        known = await self._rows(lambda unit: data_objects.use(unit, list(sizes), project))
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

    def _reserve(self, name: str, size: int, project: str) -> Known:
        self._check_quotas(size, project)
        with self._database.write() as session:
            return data_objects.reserve(Unit(session), name, size)

    def _check_quotas(self, size: int, project: str) -> None:
        """Raise DataQuota if a limit is exceeded. Counts the rows only every few seconds, so it may be late."""
        if self._limit and not self._take(size, None, self._limit):
            raise DataQuota(self._full(project, "pushed data", self._limit, "BATON_DATA_BYTES", None))
        with self._database.read() as session:
            quota = project_quotas.data_limit(Unit(session), project)
        if quota is not None and not self._take(size, project, quota):
            what = f"pushed data of the project {project}"
            raise DataQuota(self._full(project, what, quota, "quota max_data_bytes", project))

    def _take(self, size: int, project: str | None, limit: int) -> bool:
        """Whether the objects of the project (None: all objects) and `size` more bytes are within the limit."""
        meter = self._meters.setdefault(project, _Meter())
        if time.monotonic() > meter.counted_at + TOTAL_SECONDS or meter.total + size > limit:
            with self._database.read() as session:
                meter.total, meter.counted_at = data_objects.bytes_used(Unit(session), project), time.monotonic()
        if meter.total + size > limit:
            return False
        meter.total += size
        return True

    def _full(self, project: str, what: str, limit: int, name: str, of: str | None) -> str:
        with self._database.read() as session:
            unit = Unit(session)
            old, several = pushed_data.deletable(unit, project), project_quotas.several(unit)
        # With several projects, the total of the service would tell what others have.
        used = "all" if of is None and several else f"{self._meters[of].total:,}"
        listed = "; ".join(
            f"baton data delete {DataReference(one.name, one.digest)} "
            f"({one.bytes:,} bytes, last used {one.last_used_at:%Y-%m-%d})"
            for one in old
        )
        hint = f"delete what you no longer need: {listed}" if listed else "unfinished jobs need all of it"
        return f"{what} uses {used} of {limit:,} bytes ({name}): {hint}. The space of deleted data is free within a day"

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


def _sent(unit: Unit, name: str, row: Known, project: str) -> None:
    data_objects.seen(unit, [name])
    data_objects.sent(unit, row.number, project)


async def _all(calls: Iterable[Awaitable[_T]]) -> list[_T]:
    return list(await asyncio.gather(*calls))


def _decoded(body: bytes, digest: str) -> DataManifest:
    manifest = DataManifest.decode(body, MOST_TEXT)
    if manifest.digest != digest:
        raise WrongDigest(f"the manifest has the digest {manifest.digest}, the address names {digest}")
    return manifest
