"""The identity of this worker's store. It is read before work is taken, regularly, and at each claim."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.domain.store_identity import NOT_IN_STORE, WRONG_STORE, StoreRef, shown_url
from baton.storage import BlobStore, ObjectAccess
from baton.storage.identity import describe
from worker.api_client.answers import Refused

LOOK_SECONDS = 10.0
AGAIN_SECONDS, RETRY_SECONDS = 60.0, 2.0
log = logging.getLogger(__name__)


def describe_in_time(store: BlobStore, seconds: float = LOOK_SECONDS, tries: int = 3) -> StoreRef:
    """The description of the store for the service. If the store does not answer in time, `problem` contains that."""
    found: list[StoreRef] = []

    def look() -> None:
        for _ in range(tries):
            found.append(describe(store))
            if found[-1].problem is None:
                return

    thread = threading.Thread(target=look, name="store", daemon=True)
    thread.start()
    thread.join(seconds)
    if found:
        return found[-1]
    return StoreRef(url=shown_url(store.url), problem=f"does not answer within {seconds:g} s")


class WorkerStore:
    """Updates the description of the store in a separate thread: a store that hangs blocks only this thread."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._ref = StoreRef(url=shown_url(store.url), problem="not checked yet")
        self._wake, self._looked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="own-store", daemon=True)

    def start(self) -> None:
        """Starts the checks. Waits about LOOK_SECONDS for the first answer."""
        self._thread.start()
        self._looked.wait(LOOK_SECONDS + 1)

    @property
    def ref(self) -> StoreRef:
        """The result of the last check."""
        return self._ref

    @property
    def usable(self) -> bool:
        """Whether the store answers. The service decides whether it is the right one."""
        return self._ref.problem is None

    def recheck(self) -> None:
        """Requests a check now, because a claim was refused."""
        self._wake.set()

    def look(self) -> StoreRef:
        """Checks now, and returns the result."""
        found = describe_in_time(self._store)
        if found.problem is not None and found.problem != self._ref.problem:
            log.warning("the worker takes no work, because the store %s cannot be used: %s", found.url, found.problem)
        elif found.problem is None and self._looked.is_set() and not self.usable:
            log.warning("the store %s works again", found.url)
        self._ref = found
        return found

    def _run(self) -> None:
        while True:
            self.look()
            self._looked.set()
            self._wake.wait(AGAIN_SECONDS if self.usable else RETRY_SECONDS)
            self._wake.clear()


@contextmanager
def wrong_store_as_failure(store: ObjectAccess) -> Iterator[None]:
    """Turns one kind of refusal into a failure of the attempt: service and worker use different stores."""
    try:
        yield
    except Refused as error:
        if error.problem not in (WRONG_STORE, NOT_IN_STORE):
            raise
        text = f"service and worker do not see the same store; this worker's is {shown_url(store.url)}: {error}"
        raise JobFailure(Reason.WRONG_STORE, text) from error
