"""Records the HTTP calls that pass a proxy: the path and the status of each."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.support.proxy import Way

_REQUEST = re.compile(rb"(?:GET|POST|PUT|DELETE|PATCH) (\S+) HTTP/1\.1\r\n")
_ANSWER = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass
class Calls:
    """A tap for `Proxy`.

    It records the calls of HTTP/1.1 clients that wait for a response before they send the next request.
    """

    answered: list[tuple[str, int]] = field(default_factory=list)
    _open: dict[int, deque[str]] = field(default_factory=dict)

    def __call__(self, line: int, way: Way, chunk: bytes) -> None:
        """Process the next bytes of a connection."""
        asked = self._open.setdefault(line, deque())
        if way is Way.REQUEST:
            asked.extend(path.decode() for path in _REQUEST.findall(chunk))
        elif asked:
            for status in _ANSWER.findall(chunk)[: len(asked)]:
                self.answered.append((asked.popleft(), int(status)))

    def statuses(self, attempt_id: str) -> Iterator[tuple[str, int]]:
        """The calls of an attempt's worker with their statuses in order, e.g. ("heartbeat", 200)."""
        start = f"/v1/attempts/{attempt_id}/"
        return ((path.removeprefix(start), status) for path, status in list(self.answered) if path.startswith(start))

    def refused(self, attempt_id: str) -> Counter[str]:
        """How many times each call of an attempt got 409."""
        return Counter(verb for verb, status in self.statuses(attempt_id) if status == 409)
