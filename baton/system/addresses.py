"""Addresses of TCP servers, IPv4 and IPv6."""

from __future__ import annotations

import errno
import ipaddress
import socket
from contextlib import suppress

EVERY_IPV6, EVERY_IPV4 = "::", "0.0.0.0"  # noqa: S104  # not bound here


def bound_socket(host: str, port: int) -> socket.socket:
    """A TCP socket that is bound to this address and does not listen yet. Port 0: any free port.

    `::` takes connections over IPv4 too, and means 0.0.0.0 on a machine without IPv6. For a name with addresses of both
    kinds, the IPv4 address is used. Raises OSError.
    """
    family, address = _resolved(host, port)
    try:
        # IPPROTO_TCP is explicit, because asyncio sets TCP_NODELAY only then. Without TCP_NODELAY each answer with a
        # body would wait 40 ms for the acknowledgement of its head.
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as error:
        if host == EVERY_IPV6 and error.errno == errno.EAFNOSUPPORT:
            return bound_socket(EVERY_IPV4, port)
        raise
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == EVERY_IPV6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        found.bind(address)
    except OSError:
        found.close()
        raise
    return found


def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]:
    if host == EVERY_IPV6:
        return socket.AF_INET6, (host, port, 0, 0)
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, address = min(found, key=lambda one: one[0] != socket.AF_INET)
    return family, address  # type: ignore[return-value]  # without IPv6 in Python it could be another tuple


def host_in_url(host: str) -> str:
    """The host as it is written in a URL: an IPv6 address in brackets.

    >>> host_in_url("::1"), host_in_url("127.0.0.1"), host_in_url("host.example")
    ('[::1]', '127.0.0.1', 'host.example')
    """
    return f"[{host}]" if ":" in host else host


def is_loopback(host: str) -> bool:
    """Whether only programs on this machine can reach a server that listens on `host`.

    >>> is_loopback("::1"), is_loopback("127.0.0.9"), is_loopback("localhost"), is_loopback("::")
    (True, True, True, False)
    """
    with suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"
