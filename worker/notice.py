"""Preemption notices: whoever says that the machine goes away says it here."""

from __future__ import annotations

import signal
import threading


class Notice:
    """Set once, by a signal or by whoever watches the cloud's metadata."""

    def __init__(self) -> None:
        self._given = threading.Event()
        self.cause = ""

    @property
    def given(self) -> bool:
        """Whether the machine goes away."""
        return self._given.is_set()

    def give(self, cause: str) -> None:
        """The machine goes away. The first cause is kept."""
        self.cause = self.cause or cause
        self._given.set()

    def listen(self) -> None:
        """Takes SIGTERM and SIGINT for notices. To be called from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _frame: self.give(signal.Signals(got).name))
