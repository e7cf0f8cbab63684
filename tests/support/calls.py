"""HTTP calls as they pass a proxy: which path was asked, and with which status it was answered."""

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
    """A tap for `Proxy`: the calls of HTTP/1.1 clients, each of which waits for its answer before it asks again."""

    answered: list[tuple[str, int]] = field(default_factory=list)
    _open: dict[int, deque[str]] = field(default_factory=dict)

    def __call__(self, line: int, way: Way, chunk: bytes) -> None:
        """Takes a chunk in."""
        asked = self._open.setdefault(line, deque())
        if way is Way.REQUEST:
            asked.extend(path.decode() for path in _REQUEST.findall(chunk))
        elif asked:
            for status in _ANSWER.findall(chunk)[: len(asked)]:
                self.answered.append((asked.popleft(), int(status)))

    def statuses(self, attempt_id: str) -> Iterator[tuple[str, int]]:
        """What an attempt's worker asked and was answered, e.g. ("heartbeat", 200), in order."""
        start = f"/v1/attempts/{attempt_id}/"
        return ((path.removeprefix(start), status) for path, status in list(self.answered) if path.startswith(start))

    def refused(self, attempt_id: str) -> Counter[str]:
        """How often each of an attempt's calls got 409."""
        return Counter(verb for verb, status in self.statuses(attempt_id) if status == 409)
