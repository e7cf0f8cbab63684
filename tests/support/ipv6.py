"""Whether this machine has IPv6, for tests that need it."""

from __future__ import annotations

import socket


def require_ipv6_loopback() -> None:
    """Fails the test with a clear text where nothing can listen on ::1. Such a test proves nothing if it is skipped."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        raise AssertionError(
            f"this machine has no IPv6 loopback address, so this test cannot run here: nothing can listen on ::1 "
            f"({error}). Enable it with: sysctl net.ipv6.conf.lo.disable_ipv6=0"
        ) from None
