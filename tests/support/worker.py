"""Real worker processes for tests: `python -m worker`, each in its own process group."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.support.preloaded import PreloadedProcess, start
from tests.support.service import ServiceProcess


@dataclass
class WorkerProcess:
    """A worker with the service's environment. `settings`: further environment variables.

    `module`: `worker`, or `tests.support.fake_worker` for one that trains in milliseconds. `fork`: see preloaded.
    """

    service: ServiceProcess
    folder: Path
    name: str = "worker"
    settings: dict[str, str] = field(default_factory=dict)
    module: str = "worker"
    fork: bool = True
    process: subprocess.Popen[bytes] | PreloadedProcess | None = None

    @property
    def log(self) -> Path:
        """The file with the output of the worker and of its training processes."""
        return self.folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """The process id of the parent, which is also the id of the group."""
        assert self.process is not None
        return self.process.pid

    def start(self, *arguments: str) -> WorkerProcess:
        """Start the worker without waiting."""
        environment = {
            **self.service.environment,
            "BATON_CACHE": str(self.folder / "cache"),
            "BATON_WORKER_NAME": self.name,
            "BATON_AUGMENTATION_PROCESSES": "0",  # a process of its own would import imgaug again
            "BATON_NOTICES": "none",
            "BATON_REPORTS": "0",
            **self.settings,
        }
        if not environment["BATON_WORKER_NAME"]:
            del environment["BATON_WORKER_NAME"]  # the worker generates a name
        self.process = start(self.module, arguments, environment, self.log, session=True, fork=self.fork)
        return self

    def kill_group(self) -> None:
        """Send SIGKILL to the worker, its training process and the helper processes of that."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def terminate(self) -> None:
        """Send SIGTERM to the parent alone, as a cloud's shutdown or `baton up` does."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def children(self) -> list[int]:
        """The process ids of its training processes."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


@contextlib.contextmanager
def workers(service: ServiceProcess, folder: Path, module: str = "worker", *, fork: bool = True) -> Iterator[Workers]:
    """Starts workers, and kills all of them at the end. `module`, `fork`: see WorkerProcess."""
    made = Workers(service, folder, module, fork)
    try:
        yield made
    finally:
        for worker in made.all:
            worker.kill_group()


@dataclass
class Workers:
    """All workers of a test."""

    service: ServiceProcess
    folder: Path
    module: str = "worker"
    fork: bool = True
    all: list[WorkerProcess] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def start(self, *arguments: str, **settings: str) -> WorkerProcess:
        """Start another worker."""
        name = f"worker-{next(self._numbers)}"
        worker = WorkerProcess(self.service, self.folder, name, dict(settings), self.module, self.fork)
        self.all.append(worker)
        return worker.start(*arguments)
