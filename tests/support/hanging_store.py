"""A bucket on a server that stops to answer on demand: `gcs_emulator` behind a line that can be held."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from tests.contract.flaky_proxy import FlakyProxy, flaky_proxy
from tests.support.gcs import gcs_emulator


@dataclass(frozen=True)
class HangingStore:
    """The bucket, and whether its server answers."""

    url: str
    proxy: FlakyProxy
    open: threading.Event

    @property
    def environ(self) -> dict[str, str]:
        """What a process needs in its environment to use it."""
        return {"STORAGE_EMULATOR_HOST": self.proxy.host}

    def wait(self, _method: str) -> None:
        """For what a request waits."""
        self.open.wait(300)

    def hang(self) -> None:
        """From now on requests are accepted and not answered."""
        self.open.clear()

    def go_on(self) -> None:
        """Answer what waits, and whatever comes."""
        self.open.set()


@contextlib.contextmanager
def hanging_store() -> Iterator[HangingStore]:
    """A bucket that answers until it is told to hang."""
    with gcs_emulator("hanging") as emulator, flaky_proxy(emulator.host) as proxy:
        store = HangingStore(emulator.store_url("baton"), proxy, threading.Event())
        store.go_on()
        proxy.before = store.wait
        try:
            yield store
        finally:
            store.go_on()
