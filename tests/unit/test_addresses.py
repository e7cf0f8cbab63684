"""Addresses to listen on: `::` is every address of both kinds, also where there is no IPv6."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from baton.domain.downloads import http_url
from baton.local.errors import Occupied
from baton.local.ports import free_port, require_free, url_of
from baton.system.addresses import bound_socket
from tests.support.ipv6 import require_ipv6_loopback


def test_every_address_is_of_both_kinds() -> None:
    require_ipv6_loopback()
    with bound_socket("::", 0) as listener:
        listener.listen()
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, listener.getsockname()[1]), timeout=60).close()


def test_every_address_is_ipv4_on_a_machine_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    made = socket.socket

    def without_ipv6(family: int, *options: Any) -> socket.socket:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return made(family, *options)

    monkeypatch.setattr("baton.system.addresses.socket.socket", without_ipv6)
    with bound_socket("::", 0) as listener:
        assert listener.getsockname()[0] == "0.0.0.0"  # what is asserted
    with pytest.raises(OSError, match="not supported"):
        bound_socket("::1", 0)


def test_a_name_of_both_kinds_is_served_over_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
    ]
    monkeypatch.setattr("baton.system.addresses.socket.getaddrinfo", lambda *_, **__: both)
    with bound_socket("localhost", 0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_free_ports_and_urls_of_ipv6() -> None:
    require_ipv6_loopback()
    port = free_port("::1")
    require_free("::1", port)
    with bound_socket("::1", port) as taken:
        taken.listen()
        with pytest.raises(Occupied, match=f"port {port} on ::1 is in use"):
            require_free("::1", port)
    assert url_of("::1", port) == f"http://[::1]:{port}"
    assert url_of("::", 80) == url_of("0.0.0.0", 80) == "http://127.0.0.1:80"  # not bound


@pytest.mark.parametrize("url", ["http://[::1]:8080", "https://[2001:db8::1]/baton", "http://host/baton", "https://h"])
def test_urls_with_a_host_and_a_port(url: str) -> None:
    assert http_url(url) == url


@pytest.mark.parametrize("url", ["http://::1:8080", "http://2001:db8::1", "http://", "http://h:port", "http://[::1"])
def test_an_address_without_brackets_is_refused_with_advice(url: str) -> None:
    with pytest.raises(ValueError, match=r"in brackets, such as http://\[::1\]:8080"):
        http_url(url)
