"""Counts wrong tokens by client address, in this process. Limits the rate of wrong tokens per address."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock

WINDOW_SECONDS = 60.0
ADDRESSES = 10_000
TOLD = 20


@dataclass
class _Window:
    since: float
    count: int = 0


@dataclass(frozen=True)
class Failures:
    """Wrong tokens since the last call of `take`: the total, and the addresses with the highest counts."""

    count: int
    addresses: dict[str, int] = field(default_factory=dict)


class FailedLogins:
    """Allows `most` wrong tokens per address and minute (fixed window). 0: no limit. Thread-safe.

    Requests with a valid token are neither counted nor blocked, so other users of an attacker's address can continue.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._news: Counter[str] = Counter()
        self._lock = Lock()

    def count(self, address: str) -> int | None:
        """Count a wrong token. Returns the seconds to wait if it exceeds the limit."""
        name, now = network(address), self._clock()
        with self._lock:
            # Bound the memory: addresses beyond the limit are counted together, without a name.
            self._news[name if name in self._news or len(self._news) < ADDRESSES else ""] += 1
            window = self._window(name, now)
            window.count += 1
            if not self._most or window.count <= self._most:
                return None
            return max(1, math.ceil(window.since + WINDOW_SECONDS - now))

    def take(self) -> Failures:
        """The counts since the last call."""
        with self._lock:
            news, self._news = self._news, Counter()
        named = Counter({name: count for name, count in news.items() if name})
        return Failures(news.total(), dict(named.most_common(TOLD)))

    def _window(self, name: str, now: float) -> _Window:
        found = self._windows.get(name)
        if found is None or now - found.since >= WINDOW_SECONDS:
            found = self._windows[name] = _Window(now)
            self._windows.move_to_end(name)
        while len(self._windows) > ADDRESSES:
            self._windows.popitem(last=False)
        return found


def network(address: str) -> str:
    """The address range of one client: an IPv4 address, or an IPv6 /64 network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
