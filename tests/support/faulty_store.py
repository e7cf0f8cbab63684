"""A directory store that fails or hangs until a test lets it work."""

from __future__ import annotations

import threading
from pathlib import Path

from baton.storage.directory import DirectoryStore
from baton.storage.port import OCTETS, BlobInfo


class FaultyStore(DirectoryStore):
    """Until `works` is set, calls for names that contain `fails_for` raise `error`.

    Without an error they hang for `seconds`.
    """

    def __init__(self, root: Path, seconds: float) -> None:
        super().__init__(root)
        self._seconds = seconds
        self.works, self.asked = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.fails_for = "jobs/"

    def _meet(self, name: str) -> None:
        if self.fails_for in name and not self.works.is_set():
            self.asked.set()
            if self.error is not None:
                raise self.error
            assert self.works.wait(self._seconds)

    def put(
        self,
        name: str,
        data: bytes | memoryview | Path,
        *,
        if_absent: bool = False,
        content_type: str = OCTETS,
    ) -> BlobInfo:
        self._meet(name)
        return super().put(name, data, if_absent=if_absent, content_type=content_type)

    def get(self, name: str) -> bytes:
        self._meet(name)
        return super().get(name)
