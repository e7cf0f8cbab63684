"""Small functions that control or inspect a process."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from tests.support.service import ServiceProcess
from tests.support.worker import WorkerProcess


def is_dead(member: ServiceProcess | WorkerProcess) -> bool:
    return member.process is not None and member.process.poll() is not None


def wake_service(service: ServiceProcess) -> None:
    assert service.process is not None
    service.process.send_signal(signal.SIGCONT)


def send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def wake_group(worker: WorkerProcess) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker.pid, signal.SIGCONT)


def group_is_empty(group: int) -> bool:
    """Whether all processes of the group have ended. A zombie process has ended."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _parent, of = stat.read_text().rpartition(")")[2].split()[:3]
            if int(of) == group and state != "Z":
                return False
    return True
