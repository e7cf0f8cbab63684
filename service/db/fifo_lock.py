"""Turns: one thread at a time, in the order in which they came."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class FifoLock:
    """A mutex whose waiters are served in the order of their arrival; each hands it on to the next.

    SQLite's own lock has no queue: who finds it taken sleeps up to 0.1 s and tries again, and whoever comes meanwhile
    overtakes. With many writers the unlucky ones wait for seconds.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._taken = False
        self._waiting: deque[Lock] = deque()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for one's turn, and have it until the block ends."""
        self._wait()
        try:
            yield
        finally:
            self._hand_on()

    def _wait(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            mine = Lock()
            mine.acquire()
            self._waiting.append(mine)
        mine.acquire()  # released by whoever hands the turn on

    def _hand_on(self) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._taken = False
