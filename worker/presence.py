"""Who this worker is, as it tells the service from time to time."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable

from core.domain.protocol import PROTOCOL, SPEC_VERSION
from core.domain.store_identity import WRONG_STORE
from core.domain.wire import WorkerInfo, WorkerReport
from worker.extensions import installed
from worker.protocol import Refused, ServiceClient, ServiceUnavailable
from worker.seat import Seat
from worker.settings import VERSION, WorkerSettings
from worker.store import OwnStore

REPORT_SECONDS, FIRST_ANSWER_SECONDS = 10.0, 15.0
GOODBYE_SECONDS = 2.0
"""How long the last report may take: a worker that ends waits no longer for a service that is away."""
SHUT_OUT = (401, 403)
log = logging.getLogger(__name__)


def worker_info(settings: WorkerSettings, device: str, pid: int | None = None) -> WorkerInfo:
    """The worker: its supervisor process, whose `pid` a training process gives; this process where it is left out."""
    host = socket.gethostname()
    return WorkerInfo(
        name=settings.worker_name,
        host=host,
        pid=pid or os.getpid(),
        version=VERSION,
        device=device,
        extensions=tuple(installed()),
        protocol=PROTOCOL,
        spec_version=SPEC_VERSION,
    )


class Presence:
    """Says every REPORT_SECONDS that this worker is there, until the process ends.

    `retire`: told once the service gives this worker no work, because its token is revoked or wrong, or because its
    store is not the service's: a worker that can claim nothing must not take messages from those that can. `refusal`:
    what it said.
    """

    def __init__(
        self,
        client: ServiceClient,
        settings: WorkerSettings,
        queues: list[str],
        retire: Callable[[str], None],
        store: OwnStore,
    ) -> None:
        self._client, self._settings, self._queues, self._retire = client, settings, queues, retire
        self._store = store
        self._told = threading.Event()
        self.refusal: Refused | None = None
        self._over, self._reporting = threading.Event(), threading.Lock()

    def start(self, seat: Seat) -> None:
        """From now on. Waits for the first answer, for a while: a worker with a wrong store takes no message."""
        threading.Thread(target=self._run, args=(seat,), name="report", daemon=True).start()
        self._told.wait(FIRST_ANSWER_SECONDS)

    def _run(self, seat: Seat) -> None:
        while not self._over.is_set():
            self.tell(seat)
            self._told.set()
            self._over.wait(REPORT_SECONDS)

    def end(self, seat: Seat) -> None:
        """Tells the service that this worker ends, so that it does not count as lost. One try, GOODBYE_SECONDS long."""
        self._over.set()
        # A report that is under way must not arrive after the last one: it would bring the worker back to life.
        if not self._reporting.acquire(timeout=GOODBYE_SECONDS):
            return
        try:
            self._client.report(self._report(seat, ended=True), seconds=GOODBYE_SECONDS)
        except (ServiceUnavailable, Refused) as error:
            log.debug("the service was not told that this worker ends: %s", error)
        finally:
            self._reporting.release()

    def tell(self, seat: Seat) -> None:
        """Says it once."""
        try:
            with self._reporting:
                if not self._over.is_set():
                    self._tell(seat)
        except (ServiceUnavailable, Refused) as error:
            log.warning("the service does not know of this worker: %s", error)
            if self.refusal is None and isinstance(error, Refused) and is_final(error):
                self.refusal = error
                self._retire("the service gives no work to this worker")

    def _tell(self, seat: Seat) -> None:
        try:
            self._client.report(self._report(seat))
        except Refused as error:
            # The store may have been mounted, or got its identity, since it was looked at.
            if error.problem != WRONG_STORE or self._store.ref == self._store.look():
                raise
            self._client.report(self._report(seat))

    def _report(self, seat: Seat, *, ended: bool = False) -> WorkerReport:
        info = worker_info(self._settings, seat.device).model_copy(update={"store": self._store.ref})
        return WorkerReport(**info.model_dump(), queues=tuple(self._queues), busy=seat.busy and not ended, ended=ended)


def is_final(error: Refused) -> bool:
    """Whether the service will give this worker no work whenever it asks."""
    return error.status in SHUT_OUT or error.problem == WRONG_STORE
