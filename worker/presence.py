"""Who this worker is, as it tells the service from time to time."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable

from core.domain.protocol import PROTOCOL, SPEC_VERSION
from core.domain.wire import WorkerInfo, WorkerReport
from worker.extensions import installed
from worker.protocol import Refused, ServiceClient, ServiceUnavailable
from worker.seat import Seat
from worker.settings import VERSION, WorkerSettings

REPORT_SECONDS = 10.0
SHUT_OUT = (401, 403)
log = logging.getLogger(__name__)


def worker_info(settings: WorkerSettings, device: str) -> WorkerInfo:
    """This process of a worker."""
    host = socket.gethostname()
    return WorkerInfo(
        name=settings.worker_name,
        host=host,
        pid=os.getpid(),
        version=VERSION,
        device=device,
        extensions=tuple(installed()),
        protocol=PROTOCOL,
        spec_version=SPEC_VERSION,
    )


class Presence:
    """Says every REPORT_SECONDS that this worker is there, until the process ends.

    `retire`: told once the service takes no work from this token, revoked or wrong: a worker that can claim nothing
    must not take messages from those that can. `refusal`: what it said.
    """

    def __init__(
        self, client: ServiceClient, settings: WorkerSettings, queues: list[str], retire: Callable[[str], None]
    ) -> None:
        self._client, self._settings, self._queues, self._retire = client, settings, queues, retire
        self.refusal: Refused | None = None

    def start(self, seat: Seat) -> None:
        """From now on."""
        threading.Thread(target=self._run, args=(seat,), name="report", daemon=True).start()

    def _run(self, seat: Seat) -> None:
        while True:
            self.tell(seat)
            time.sleep(REPORT_SECONDS)

    def tell(self, seat: Seat) -> None:
        """Says it once."""
        info = worker_info(self._settings, seat.device)
        report = WorkerReport(**info.model_dump(), queues=tuple(self._queues), busy=seat.busy)
        try:
            self._client.report(report)
        except (ServiceUnavailable, Refused) as error:
            log.warning("the service does not know of this worker: %s", error)
            if self.refusal is None and isinstance(error, Refused) and error.status in SHUT_OUT:
                self.refusal = error
                self._retire("the service takes no work from this token")
