"""The worker's description of itself, as it sends it to the service."""

from __future__ import annotations

import os
import socket

from baton.domain.extensions import PROGRAMS
from baton.domain.protocol_versions import PROTOCOL, SPEC_VERSION
from baton.domain.wire import WorkerInfo
from worker.extensions import installed
from worker.settings import VERSION, WorkerSettings


def worker_info(settings: WorkerSettings, device: str, pid: int | None = None) -> WorkerInfo:
    """The description of the worker. `pid`: a training process passes that of its supervisor; default: this process."""
    host = socket.gethostname()
    return WorkerInfo(
        name=settings.worker_name,
        host=host,
        pid=pid or os.getpid(),
        version=VERSION,
        device=device,
        extensions=(*installed(), *([PROGRAMS] if settings.programs else [])),
        protocol=PROTOCOL,
        spec_version=SPEC_VERSION,
    )
