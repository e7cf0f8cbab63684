"""Reports this worker to the service at regular intervals."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from baton.domain.store_identity import WRONG_STORE
from baton.domain.wire import WorkerReport
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.settings import WorkerSettings
from worker.store_access.own_store import WorkerStore
from worker.supervisor.supervisor import Supervisor
from worker.worker_info import worker_info

REPORT_SECONDS, FIRST_ANSWER_SECONDS = 10.0, 15.0
GOODBYE_SECONDS = 2.0
"""Time limit of the last report in seconds: a worker that ends does not wait longer for an unavailable service."""
SHUT_OUT = (401, 403)
log = logging.getLogger(__name__)


class Registration:
    """Reports every REPORT_SECONDS that this worker is alive, until the process ends.

    `retire`: called when the service will never give work to this worker: its token is wrong or revoked, or its store
    is not the service's store. Such a worker must not take messages that other workers can use. `refusal`: the error of
    the service.
    """

    def __init__(
        self,
        client: ServiceClient,
        settings: WorkerSettings,
        queues: list[str],
        retire: Callable[[str], None],
        store: WorkerStore | None,
    ) -> None:
        self._client, self._settings, self._queues, self._retire = client, settings, queues, retire
        self._store = store
        self._answered = threading.Event()
        self.refusal: Refused | None = None
        self._over, self._reporting = threading.Event(), threading.Lock()

    def start(self, supervisor: Supervisor) -> None:
        """Starts to report. Waits for the first answer, for a limited time: a refused worker must take no message."""
        threading.Thread(target=self._run, args=(supervisor,), name="report", daemon=True).start()
        self._answered.wait(FIRST_ANSWER_SECONDS)

    def _run(self, supervisor: Supervisor) -> None:
        while not self._over.is_set():
            self.report(supervisor)
            self._answered.set()
            self._over.wait(REPORT_SECONDS)

    def end(self, supervisor: Supervisor) -> None:
        """Reports that this worker ends, so that it does not count as lost. One try of at most GOODBYE_SECONDS."""
        self._over.set()
        # A report in progress must not arrive after the last one, or the worker would appear alive again.
        if not self._reporting.acquire(timeout=GOODBYE_SECONDS):
            return
        try:
            self._client.report(self._report(supervisor, ended=True), seconds=GOODBYE_SECONDS)
        except (ServiceUnavailable, Refused) as error:
            log.debug("could not report that this worker ends: %s", error)
        finally:
            self._reporting.release()

    def report(self, supervisor: Supervisor) -> None:
        """Sends one report."""
        try:
            with self._reporting:
                if not self._over.is_set():
                    self._send(supervisor)
        except (ServiceUnavailable, Refused) as error:
            log.warning("could not report this worker to the service: %s", error)
            if self.refusal is None and isinstance(error, Refused) and is_final(error):
                self.refusal = error
                self._retire("the service gives no work to this worker")

    def _send(self, supervisor: Supervisor) -> None:
        report = self._report(supervisor)
        try:
            self._client.report(report)
        except Refused as error:
            # Since the last check the store may have been mounted, or the service may have written its identity. The
            # comparison is with what was sent: a regular check may have changed the store's `ref` in the meantime.
            if self._store is None or error.problem != WRONG_STORE or self._store.look() == report.store:
                raise
            self._client.report(self._report(supervisor))

    def _report(self, supervisor: Supervisor, *, ended: bool = False) -> WorkerReport:
        update = {"store": self._store.ref if self._store else None, "problem": supervisor.problem}
        info = worker_info(self._settings, supervisor.device).model_copy(update=update)
        return WorkerReport(
            **info.model_dump(),
            queues=tuple(self._queues),
            busy=supervisor.busy and not ended,
            ended=ended,
            rest=supervisor.crashes.current_rest(),
        )


def is_final(error: Refused) -> bool:
    """Whether the service will refuse this worker on every later request too."""
    return error.status in SHUT_OUT or error.problem == WRONG_STORE
