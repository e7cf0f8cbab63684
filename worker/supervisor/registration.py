"""Who this worker is, as it tells the service from time to time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from baton.domain.store_identity import WRONG_STORE
from baton.domain.wire import WorkerReport
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.settings import WorkerSettings
from worker.store_identity import WorkerStore
from worker.supervisor.supervisor import Supervisor
from worker.worker_info import worker_info

REPORT_SECONDS, FIRST_ANSWER_SECONDS = 10.0, 15.0
GOODBYE_SECONDS = 2.0
"""Time limit of the last report in seconds: a worker that ends does not wait longer for an unavailable service."""
SHUT_OUT = (401, 403)
log = logging.getLogger(__name__)


class Registration:
    """Reports every REPORT_SECONDS that this worker is alive, until the process ends.

    `retire`: called when the service gives this worker no work, because its token is revoked or wrong, or because its
    store is not the service's. Such a worker must not take messages from workers that can claim. `refusal`: the
    service's error.
    """

    def __init__(
        self,
        client: ServiceClient,
        settings: WorkerSettings,
        queues: list[str],
        retire: Callable[[str], None],
        store: WorkerStore,
    ) -> None:
        self._client, self._settings, self._queues, self._retire = client, settings, queues, retire
        self._store = store
        self._told = threading.Event()
        self.refusal: Refused | None = None
        self._over, self._reporting = threading.Event(), threading.Lock()

    def start(self, supervisor: Supervisor) -> None:
        """Start reporting. Waits a limited time for the first answer: a worker with a wrong store takes no message."""
        threading.Thread(target=self._run, args=(supervisor,), name="report", daemon=True).start()
        self._told.wait(FIRST_ANSWER_SECONDS)

    def _run(self, supervisor: Supervisor) -> None:
        while not self._over.is_set():
            self.tell(supervisor)
            self._told.set()
            self._over.wait(REPORT_SECONDS)

    def end(self, supervisor: Supervisor) -> None:
        """Report that this worker ends, so that it does not count as lost. One try of at most GOODBYE_SECONDS."""
        self._over.set()
        # A report in progress must not arrive after the last one: the worker would then look alive again.
        if not self._reporting.acquire(timeout=GOODBYE_SECONDS):
            return
        try:
            self._client.report(self._report(supervisor, ended=True), seconds=GOODBYE_SECONDS)
        except (ServiceUnavailable, Refused) as error:
            log.debug("the service was not told that this worker ends: %s", error)
        finally:
            self._reporting.release()

    def tell(self, supervisor: Supervisor) -> None:
        """Says it once."""
        try:
            with self._reporting:
                if not self._over.is_set():
                    self._tell(supervisor)
        except (ServiceUnavailable, Refused) as error:
            log.warning("the service does not know of this worker: %s", error)
            if self.refusal is None and isinstance(error, Refused) and is_final(error):
                self.refusal = error
                self._retire("the service gives no work to this worker")

    def _tell(self, supervisor: Supervisor) -> None:
        try:
            self._client.report(self._report(supervisor))
        except Refused as error:
            # The store may have been mounted, or got its identity, since the last check.
            if error.problem != WRONG_STORE or self._store.ref == self._store.look():
                raise
            self._client.report(self._report(supervisor))

    def _report(self, supervisor: Supervisor, *, ended: bool = False) -> WorkerReport:
        update = {"store": self._store.ref, "problem": supervisor.problem}
        info = worker_info(self._settings, supervisor.device).model_copy(update=update)
        return WorkerReport(
            **info.model_dump(),
            queues=tuple(self._queues),
            busy=supervisor.busy and not ended,
            ended=ended,
            rest=supervisor.crashes.told(),
        )


def is_final(error: Refused) -> bool:
    """Whether the service will refuse this worker on every later request too."""
    return error.status in SHUT_OUT or error.problem == WRONG_STORE
