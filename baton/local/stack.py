"""`baton up`: runs Redis, the service and workers on this machine until it is stopped."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from baton.client.connection import Connection
from baton.local.child_process import ChildSpec
from baton.local.children import Children
from baton.local.data_directory import DataDirectory
from baton.local.ports import free_port, require_free, url_of
from baton.local.programs import child_environment
from baton.local.redis_server import RedisServer, redis_server
from baton.local.signals import Signals
from baton.local.worker_gpus import environments

WORKER_GRACE = 30.0
REDIS_START, SERVICE_START = 20.0, 90.0
MARK = "BATON_STACK"


@dataclass(frozen=True)
class StackOptions:
    """The user's options. Port 0: any free port. `workers` None: one for each GPU, or one without a GPU."""

    data: Path
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int | None = None
    service_command: tuple[str, ...] = (sys.executable, "-m", "service")
    worker_command: tuple[str, ...] = (sys.executable, "-m", "worker")


class Stack:
    """The child processes of one `baton up`, with their settings."""

    def __init__(self, options: StackOptions, data: DataDirectory) -> None:
        self.options = options
        self.data = data
        self.port = options.port or free_port(options.host)
        self.connection = Connection(
            url=url_of(options.host, self.port), token=data.token(), source=f"baton up in {data.root}"
        )
        self._common = {**child_environment(os.environ), MARK: str(data.root)}
        self.redis: RedisServer = redis_server(data, self._common)

    def service(self) -> ChildSpec:
        """How to run the service."""
        environment = {
            **self._settings(),
            "BATON_HOST": self.options.host,
            "BATON_PORT": str(self.port),
            "BATON_TOKEN": self.connection.token,
            "BATON_WORK_TOKEN": self.data.work_token(),
            "BATON_DATABASE_URL": self.data.database_url,
        }
        return ChildSpec("service", self.options.service_command, environment, self.data.log("service"))

    def workers(self) -> list[ChildSpec]:
        """How to run each worker."""
        own = environments(self.options.workers, self._common)
        return [self._worker(f"worker-{k}", environment) for k, environment in enumerate(own, start=1)]

    def _worker(self, name: str, own: Mapping[str, str]) -> ChildSpec:
        settings = {**self._settings(), **own, "BATON_TOKEN": self.data.work_token()}
        settings.pop("BATON_WORK_TOKEN", None)
        return ChildSpec(name, self.options.worker_command, settings, self.data.log(name), WORKER_GRACE)

    def _settings(self) -> dict[str, str]:
        return {
            **self._common,
            "BATON_URL": self.connection.url,
            "BATON_REDIS_URL": self.redis.url,
            "BATON_STORE": self.data.store_url,
        }

    def service_ready(self) -> bool:
        """Whether the service is ready."""
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.connection.url}/readyz", timeout=2.0).is_success
        return False


def run_stack(options: StackOptions, say: Callable[[str], None], on_ready: Callable[[Stack], None]) -> None:
    """Runs the stack until SIGINT or SIGTERM, then stops all its processes.

    Raises:
        StackError: it cannot run. Children that were started are stopped.
    """
    data = DataDirectory(options.data)
    data.make()
    with data.locked(), Signals() as signals:
        if options.port:
            require_free(options.host, options.port)
        supervisor = Children(signals, say, data.write_processes)
        try:
            with suppress(KeyboardInterrupt):
                _start(Stack(options, data), supervisor, on_ready)
                supervisor.run()
            say("stopping: the workers save their state first (Ctrl-C again stops at once)")
        finally:
            data.withdraw()
            supervisor.stop()
            data.write_processes({})


def _start(stack: Stack, supervisor: Children, on_ready: Callable[[Stack], None]) -> None:
    redis = supervisor.start(stack.redis.spec)
    supervisor.await_ready(redis, stack.redis.ready, REDIS_START)
    service = supervisor.start(stack.service())
    supervisor.await_ready(service, stack.service_ready, SERVICE_START)
    for worker in stack.workers():
        supervisor.start(worker)
    stack.data.announce(stack.connection)
    on_ready(stack)
