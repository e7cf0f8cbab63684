"""A bucket whose server can be made to hang: `gcs_emulator` behind a proxy that can hold requests back."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

from tests.contract.flaky_proxy import FlakyProxy, flaky_proxy
from tests.support.gcs import gcs_emulator


@dataclass(frozen=True)
class HangingStore:
    """The bucket, and whether its server responds."""

    url: str
    proxy: FlakyProxy
    open: threading.Event

    @property
    def environ(self) -> dict[str, str]:
        """The environment variables with which a process uses this bucket."""
        return {"STORAGE_EMULATOR_HOST": self.proxy.host}

    def wait(self, _method: str) -> None:
        """Block a request while the server hangs."""
        self.open.wait(300)

    def hang(self) -> None:
        """From now on, accept requests and send no responses."""
        self.open.clear()

    def go_on(self) -> None:
        """Respond to waiting and later requests."""
        self.open.set()


@contextlib.contextmanager
def hanging_store() -> Iterator[HangingStore]:
    """A bucket that works until `hang` is called."""
    with gcs_emulator("hanging") as emulator, flaky_proxy(emulator.host) as proxy:
        store = HangingStore(emulator.store_url("baton"), proxy, threading.Event())
        store.go_on()
        proxy.before = store.wait
        try:
            yield store
        finally:
            store.go_on()
