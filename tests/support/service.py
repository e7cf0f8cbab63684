"""A real service process for tests: `python -m service` on the caller's database, Redis and store."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from baton.system.addresses import host_in_url
from tests.support.preloaded import ROOT, PreloadedProcess, start
from tests.support.redis import free_port

__all__ = ["ROOT", "TOKEN", "ServiceProcess", "running_service"]
TOKEN = "token-of-the-tests"
START_SECONDS = 120.0


@dataclass
class ServiceProcess:
    """A service that can be stopped and started again with the same port and data."""

    database_url: str
    redis_url: str
    store_url: str
    log: Path
    port: int = field(default_factory=free_port)
    settings: Mapping[str, str] = field(default_factory=dict)
    host: str = "127.0.0.1"
    arguments: Sequence[str] = ("-m", "service")
    process: subprocess.Popen[bytes] | PreloadedProcess | None = None

    @property
    def url(self) -> str:
        """The URL of the service."""
        return f"http://{host_in_url(self.host)}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the service, which also suits a worker or a client."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        return {
            **clean,
            "PYTHONPATH": str(ROOT),
            "BATON_GPUS": "0",  # tests train on the CPU, also on a machine with a GPU
            "BATON_URL": self.url,
            "BATON_TOKEN": TOKEN,
            "BATON_DATABASE_URL": self.database_url,
            "BATON_REDIS_URL": self.redis_url,
            "BATON_STORE": self.store_url,
            "BATON_HOST": self.host,
            "BATON_PORT": str(self.port),
            **self.settings,
        }

    def spawn(self) -> None:
        """Start the process without waiting."""
        if tuple(self.arguments) == ("-m", "service"):
            self.process = start("service", (), self.environment, self.log)
            return
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.arguments], cwd=ROOT, env=self.environment, stdout=log, stderr=log
            )

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        self.spawn()
        self.await_ready()

    def await_ready(self, seconds: float = START_SECONDS) -> None:
        """Wait until /readyz returns 200. Raises RuntimeError with the log after `seconds`."""
        deadline = time.monotonic() + seconds
        with httpx.Client(timeout=5.0, verify=False) as http:  # a certificate store takes time to load
            while time.monotonic() < deadline and self.process is not None and self.process.poll() is None:
                with contextlib.suppress(httpx.HTTPError):
                    if http.get(f"{self.url}/readyz").status_code == 200:
                        return
                time.sleep(0.1)
        raise RuntimeError(f"the service did not become ready:\n{self.log.read_text(errors='replace')}")

    def terminate(self, seconds: float = 15.0) -> int:
        """Send SIGTERM, and return the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Send SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def client(self) -> httpx.Client:
        """An HTTP client with the administrator's token."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30.0, verify=False)


@contextlib.contextmanager
def running_service(
    folder: Path, redis_url: str, arguments: Sequence[str] = ("-m", "service"), **settings: str
) -> Iterator[ServiceProcess]:
    """A ready service on SQLite and a directory store in `folder`. It is killed at the end if it still runs.

    `arguments`: of the Python interpreter, to start the service in another way. `settings`: further environment
    variables, e.g. BATON_LEASE_SECONDS="2", or BATON_STORE to use another store.
    """
    service = ServiceProcess(
        database_url=f"sqlite:///{folder}/baton.db",
        redis_url=redis_url,
        store_url=(folder / "store").as_uri(),
        log=folder / "service.log",
        settings=settings,
        arguments=arguments,
    )
    try:
        service.start()
        yield service
    finally:
        service.kill()
