"""Who this worker is, as it tells the service from time to time."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time

from core.domain.wire import WorkerInfo, WorkerReport
from worker.extensions import installed
from worker.protocol import Refused, ServiceClient, ServiceUnavailable
from worker.seat import Seat
from worker.settings import VERSION, WorkerSettings

REPORT_SECONDS = 10.0
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
    )


def report_in_background(client: ServiceClient, settings: WorkerSettings, queues: list[str], seat: Seat) -> None:
    """Says every REPORT_SECONDS that this worker is there, until the process ends."""

    def run() -> None:
        while True:
            info = worker_info(settings, seat.device)
            report = WorkerReport(**info.model_dump(), queues=tuple(queues), busy=seat.busy)
            try:
                client.report(report)
            except (ServiceUnavailable, Refused) as error:
                log.warning("the service does not know of this worker: %s", error)
            time.sleep(REPORT_SECONDS)

    threading.Thread(target=run, name="report", daemon=True).start()
