"""Free TCP ports."""

from __future__ import annotations

import errno

from baton.local.errors import Occupied, StackError
from baton.system.addresses import EVERY_IPV4, EVERY_IPV6, bound_socket, host_in_url


def free_port(host: str = "127.0.0.1") -> int:
    """A port of this address that is not in use now. Raises StackError if the address cannot be used."""
    try:
        with bound_socket(host, 0) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise _unusable(host, error) from None


def require_free(host: str, port: int) -> None:
    """Checks that a service can listen on this address.

    Raises:
        Occupied: the port is in use.
        StackError: the address cannot be used.
    """
    try:
        bound_socket(host, port).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Occupied(
                f"port {port} on {host} is in use: choose another with --port, e.g. --port {port + 1}"
            ) from None
        raise _unusable(f"{host_in_url(host)}:{port}", error) from None


def _unusable(address: str, error: OSError) -> StackError:
    return StackError(f"cannot listen on {address} ({error.strerror}): choose another address with --host and --port")


def url_of(host: str, port: int) -> str:
    """The URL with which a client on this machine reaches a server that listens on `host`."""
    reachable = "127.0.0.1" if host in (EVERY_IPV4, EVERY_IPV6) else host
    return f"http://{host_in_url(reachable)}:{port}"
