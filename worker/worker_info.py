"""The worker's description of itself, as it sends it to the service."""

from __future__ import annotations

import os
import socket

from baton.domain.extensions import ONLY_PROGRAMS, PROGRAMS
from baton.domain.protocol_versions import PROTOCOL, SPEC_VERSION
from baton.domain.wire import WorkerInfo
from worker.extensions import installed
from worker.settings import VERSION, WorkerSettings


def worker_info(settings: WorkerSettings, device: str, pid: int | None = None) -> WorkerInfo:
    """The description of the worker. `pid`: a training process passes that of its supervisor; default: this process."""
    host = socket.gethostname()
    programs = ([PROGRAMS, ONLY_PROGRAMS] if settings.programs_only else [PROGRAMS]) if settings.programs else []
    return WorkerInfo(
        name=settings.worker_name,
        host=host,
        pid=pid or os.getpid(),
        version=VERSION,
        device=device,
        extensions=(*installed(), *programs),
        protocol=PROTOCOL,
        spec_version=SPEC_VERSION,
    )
