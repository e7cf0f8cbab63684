"""Free TCP ports."""

from __future__ import annotations

import errno
import socket

from baton.local.errors import Occupied, StackError


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is not in use now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def require_free(host: str, port: int) -> None:
    """Checks that a service can listen on this address.

    Raises:
        Occupied: the port is in use.
        StackError: the address cannot be used.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Occupied(
                f"port {port} on {host} is in use: choose another with --port, e.g. --port {port + 1}"
            ) from None
        raise StackError(
            f"cannot listen on {host}:{port} ({error.strerror}): choose others with --host and --port"
        ) from None


def url_of(host: str, port: int) -> str:
    """The URL with which a client on this machine reaches a server that listens on `host`."""
    reachable = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104  # not bound here
    return f"http://{reachable}:{port}"
