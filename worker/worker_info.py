"""The worker's description of itself, as it sends it to the service."""

from __future__ import annotations

import os
import socket

from baton.domain.protocol_versions import PROTOCOL, SPEC_VERSION
from baton.domain.wire import WorkerInfo
from worker.extensions import installed
from worker.settings import VERSION, WorkerSettings


def worker_info(settings: WorkerSettings, device: str, pid: int | None = None) -> WorkerInfo:
    """The description of the worker. A training process passes the `pid` of its supervisor. Default: this process."""
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
