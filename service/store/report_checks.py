"""Checks that objects that a worker reports exist in the service's store, before the database refers to them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection
from typing import TypeVar

from baton.domain.manifest import MANIFEST
from baton.domain.wire import ArtifactCommit, CheckpointCommit
from baton.storage import BlobStore, NotFound, StoreUnavailable, crc32c_of
from baton.storage.identity import read_identity
from service.errors import NotInStore
from service.lanes import Lane
from service.store.identity import ServiceStore

SECONDS = 8.0
"""Time limit of one check in seconds. A worker waits 10 s for an answer."""
MOST_BYTES = 16 << 20
_LANE = Lane("check in the store", 16)  # separate from downloads: large downloads must not delay commits
_T = TypeVar("_T")


class ReportChecks:
    """All methods raise StoreUnavailable if the store does not answer in time or may be the wrong store."""

    def __init__(self, store: BlobStore, own: ServiceStore, seconds: float = SECONDS) -> None:
        self._store, self._own, self._seconds = store, own, seconds

    async def at_checkpoint(self, commit: CheckpointCommit) -> None:
        """Raises NotInStore unless the store contains the manifest that is committed."""
        name = f"{commit.prefix}/{MANIFEST}"
        await self._in_time(lambda: self._expect(name, lambda: self._crc32c(name) == commit.manifest_crc32c))

    async def at_artifact(self, commit: ArtifactCommit) -> None:
        """Raises NotInStore unless the store contains the committed object with the right size."""
        name = commit.object
        await self._in_time(lambda: self._expect(name, lambda: self._size(name) == commit.size))

    async def sees(self, prefix: str) -> bool:
        """Whether the store contains the manifest of this checkpoint."""
        return await self._in_time(lambda: self._size(f"{prefix}/{MANIFEST}") is not None)

    async def sees_any(self, prefixes: Collection[str]) -> bool:
        """Whether the store contains the manifest of any of these checkpoints. False only if it is the right store."""
        return await self._in_time(lambda: self._any(prefixes))

    def _any(self, prefixes: Collection[str]) -> bool:
        found = any(self._size(f"{prefix}/{MANIFEST}") is not None for prefix in prefixes)
        if not found:
            self._check_identity()
        return found

    def _expect(self, name: str, there: Callable[[], bool]) -> None:
        if there():
            return
        self._check_identity()
        raise NotInStore(
            f"the service does not find {name} with the reported content in its store {self._own.url}: does the "
            "worker's BATON_STORE name the same store?"
        )

    def _check_identity(self) -> None:
        """Raise StoreUnavailable if the store may be the wrong one, for example because a volume is not mounted."""
        if self._own.doubt is not None or self._own.id is None or read_identity(self._store) != self._own.id:
            raise StoreUnavailable(f"The service's store {self._own.url} is not the one it used before. See /readyz.")

    def _size(self, name: str) -> int | None:
        info = self._store.stat(name)
        return None if info is None else info.size

    def _crc32c(self, name: str) -> str | None:
        info = self._store.stat(name)
        if info is None or info.crc32c is not None or info.size > MOST_BYTES:
            return info.crc32c if info is not None else None
        try:
            return crc32c_of(self._store.get(name))
        except NotFound:
            return None

    async def _in_time(self, call: Callable[[], _T]) -> _T:
        given_up = threading.Event()

        def unless_given_up() -> _T:
            if given_up.is_set():  # the call waited for a thread for so long that its caller stopped waiting
                raise StoreUnavailable("The check was abandoned.")
            return call()

        look = asyncio.ensure_future(_LANE.run(unless_given_up))
        done, _ = await asyncio.wait({look}, timeout=self._seconds)
        if done:
            return look.result()
        given_up.set()
        look.add_done_callback(lambda late: late.exception())
        raise StoreUnavailable(f"The store did not answer within {self._seconds:g} s. Try again.")
