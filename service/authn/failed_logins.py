"""Wrong tokens, counted by where they come from, in this process."""

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
    """What was counted since it was asked last: in all, and the addresses that most of them came from."""

    count: int
    addresses: dict[str, int] = field(default_factory=dict)


class FailedLogins:
    """At most `most` wrong tokens a minute and address are answered as such; 0: any number. Safe for several threads.

    Right tokens are never asked here: whoever shares an address with one who guesses is not held up.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._windows: OrderedDict[str, _Window] = OrderedDict()
        self._news: Counter[str] = Counter()
        self._lock = Lock()

    def count(self, address: str) -> int | None:
        """Count one more; the seconds to wait, if that is one too many."""
        name, now = network(address), self._clock()
        with self._lock:
            self._tell(name)
            window = self._window(name, now)
            window.count += 1
            if not self._most or window.count <= self._most:
                return None
            return max(1, math.ceil(window.since + WINDOW_SECONDS - now))

    def take(self) -> Failures:
        """What came since the last time."""
        with self._lock:
            news, self._news = self._news, Counter()
        named = Counter({name: count for name, count in news.items() if name})
        return Failures(news.total(), dict(named.most_common(TOLD)))

    def _tell(self, name: str) -> None:
        # Whoever has many addresses must not fill the memory: those beyond are counted without their names.
        self._news[name if name in self._news or len(self._news) < ADDRESSES else ""] += 1

    def _window(self, name: str, now: float) -> _Window:
        found = self._windows.get(name)
        if found is None or now - found.since >= WINDOW_SECONDS:
            found = self._windows[name] = _Window(now)
            self._windows.move_to_end(name)
        while len(self._windows) > ADDRESSES:
            self._windows.popitem(last=False)
        return found


def network(address: str) -> str:
    """What one client can be thought to have: an IPv4 address, or the 64 bits of a network of IPv6."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))
