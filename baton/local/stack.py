"""`baton up`: runs Redis, the service and workers on this machine until it is stopped."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from baton.client.connection import Connection
from baton.local.child_process import Child, ChildSpec
from baton.local.children import Children
from baton.local.data_directory import DataDirectory
from baton.local.own_wheel import own_wheel
from baton.local.ports import free_port, require_free, url_of
from baton.local.programs import child_environment
from baton.local.redis_server import RedisServer, redis_server
from baton.local.share import Share, Shared
from baton.local.signals import Signals
from baton.local.tunnels import Tunnel, find_tunnel
from baton.local.worker_gpus import environments

WORKER_GRACE, TUNNEL_GRACE = 30.0, 5.0
REDIS_START, SERVICE_START = 20.0, 90.0
MARK = "BATON_STACK"


@dataclass(frozen=True)
class StackOptions:
    """The user's options. Port 0: any free port. `workers` None: one for each GPU, or one without a GPU.

    `share`: make the service reachable for workers elsewhere. `tunnel`: its program; None: the first installed one.
    `programs`: the workers also run programs.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int | None = None
    service_command: tuple[str, ...] = (sys.executable, "-m", "service")
    worker_command: tuple[str, ...] = (sys.executable, "-m", "worker")
    share: bool = False
    tunnel: str | None = None
    programs: bool = False


@dataclass(frozen=True)
class TunnelAccess:
    """Access through a tunnel: the port to which the tunnel forwards, and a token that is valid during this share."""

    tunnel: Tunnel
    program: str
    port: int
    token: str = field(repr=False)
    wheel: Path

    @classmethod
    def make(cls, wanted: str | None, data: DataDirectory) -> TunnelAccess:
        """Finds a tunnel. Raises StackError if no tunnel is installed, or if Baton's wheel cannot be made."""
        tunnel, program = find_tunnel(wanted)
        wheel = Path(given) if (given := os.environ.get("BATON_WHEEL")) else own_wheel(data.root / "wheel")
        return cls(tunnel, program, free_port(), secrets.token_urlsafe(32), wheel.absolute())

    def service_settings(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The service's settings for this access. No file or table has the token: it ends with this `baton up`."""
        settings = {
            "BATON_TUNNEL_PORT": str(self.port),
            "BATON_TUNNEL_TOKEN": self.token,
            "BATON_WHEEL": str(self.wheel),
        }
        proxies = environment.get("BATON_FORWARDED_ALLOW_IPS") or environment.get("FORWARDED_ALLOW_IPS")
        if proxies and "*" not in proxies:
            settings["BATON_FORWARDED_ALLOW_IPS"] = f"{proxies},127.0.0.1"
        return settings


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
        self.tunnel = TunnelAccess.make(options.tunnel, data) if options.share else None

    def service(self) -> ChildSpec:
        """How to run the service."""
        environment = {
            **self._settings(),
            "BATON_HOST": self.options.host,
            "BATON_PORT": str(self.port),
            "BATON_TOKEN": self.connection.token,
            "BATON_WORK_TOKEN": self.data.work_token(),
            "BATON_DATABASE_URL": self.data.database_url,
            **(self.tunnel.service_settings(self._common) if self.tunnel else {}),
        }
        return ChildSpec("service", self.options.service_command, environment, self.data.log("service"))

    def tunnel_program(self, access: TunnelAccess) -> ChildSpec:
        """How to run the tunnel. Its environment has none of Baton's secrets."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
        environment[MARK] = str(self.data.root)
        command = (access.program, *access.tunnel.arguments(access.port))
        return ChildSpec("tunnel", command, environment, self.data.log("tunnel"), TUNNEL_GRACE)

    def workers(self) -> list[ChildSpec]:
        """How to run each worker."""
        own = environments(self.options.workers, self._common)
        return [self._worker(f"worker-{k}", environment) for k, environment in enumerate(own, start=1)]

    def _worker(self, name: str, own: Mapping[str, str]) -> ChildSpec:
        settings = {**self._settings(), **own, "BATON_TOKEN": self.data.work_token()}
        settings.pop("BATON_WORK_TOKEN", None)
        if self.options.programs:
            settings["BATON_PROGRAMS"] = "true"
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


def run_stack(
    options: StackOptions,
    say: Callable[[str], None],
    on_ready: Callable[[Stack], None],
    on_shared: Callable[[Shared], None] | None = None,
) -> None:
    """Runs the stack until SIGINT or SIGTERM, then stops all its processes.

    `on_shared`: gets each new public address, from another thread.

    Raises:
        StackError: the stack cannot run. Children that were started are stopped.
    """
    data = DataDirectory(options.data)
    data.make()
    with data.locked(), Signals() as signals:
        if options.port:
            require_free(options.host, options.port)
        supervisor = Children(signals, say, data.write_processes)
        try:
            with suppress(KeyboardInterrupt), ExitStack() as following:
                stack = Stack(options, data)
                tunnel = _start(stack, supervisor, on_ready)
                if stack.tunnel and tunnel and on_shared:
                    kind, token = stack.tunnel.tunnel, stack.tunnel.token
                    following.enter_context(Share(kind, tunnel, stack.connection.url, token, on_shared, say))
                supervisor.run()
            say("stopping: the workers save their state first (Ctrl-C again stops at once)")
        finally:
            data.withdraw()
            supervisor.stop()
            data.write_processes({})


def _start(stack: Stack, supervisor: Children, on_ready: Callable[[Stack], None]) -> Child | None:
    """Starts all children in order. Returns the tunnel, if there is one."""
    redis = supervisor.start(stack.redis.spec)
    supervisor.await_ready(redis, stack.redis.ready, REDIS_START)
    service = supervisor.start(stack.service())
    supervisor.await_ready(service, stack.service_ready, SERVICE_START)
    for worker in stack.workers():
        supervisor.start(worker)
    tunnel = supervisor.start(stack.tunnel_program(stack.tunnel)) if stack.tunnel else None
    stack.data.announce(stack.connection)
    on_ready(stack)
    return tunnel
