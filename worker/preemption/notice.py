"""Preemption notices, from all sources: signals, clouds and deadlines."""

from __future__ import annotations

import math
import signal
import time
from dataclasses import asdict, dataclass
from queue import SimpleQueue
from typing import Any

DEFAULT_GRACE = 25.0


@dataclass(frozen=True)
class NoticeDetails:
    """A notice that the machine will be stopped. If the notice is not `certain`, the machine possibly continues to run.

    `source`: signal, gce, aws, azure or deadline. `seconds`: from the notice until the machine stops.
    """

    source: str
    cause: str
    seconds: float = DEFAULT_GRACE
    certain: bool = True

    def __str__(self) -> str:
        return self.cause if self.source == "signal" else f"{self.source}: {self.cause}"

    def dump(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)


class Notice:
    """The notices that the training process received. Takes no lock, so signal handlers may call it.

    `news`: a queue of the notices, from which one reader adds them to the job's log.
    """

    def __init__(self) -> None:
        self._first: NoticeDetails | None = None
        self._ends = math.inf
        self._save_asked = False
        self.news: SimpleQueue[NoticeDetails | None] = SimpleQueue()

    @property
    def given(self) -> bool:
        """Whether there was a certain notice."""
        return self._first is not None

    @property
    def cause(self) -> str:
        """The cause of the first certain notice; empty without one."""
        return "" if self._first is None else str(self._first)

    def left(self) -> float:
        """Seconds until the machine stops, by the earliest of the notices; infinite without a notice."""
        return max(0.0, self._ends - time.monotonic())

    def give(self, cause: str, seconds: float = DEFAULT_GRACE, *, source: str = "signal") -> None:
        """Adds a certain notice. The first cause is kept."""
        self.take(NoticeDetails(source, cause, seconds))

    def take(self, details: NoticeDetails) -> None:
        """Adds a notice. If it is not certain, it only requests a save."""
        if not details.certain:
            self._save_asked = True
            self.news.put(details)
            return
        self._ends = min(self._ends, time.monotonic() + details.seconds)
        if self._first is None:
            self._first = details
            self.news.put(details)

    def take_save(self) -> bool:
        """Whether a save was requested since the last call."""
        asked, self._save_asked = self._save_asked, False
        return asked

    def listen(self, grace: float = DEFAULT_GRACE) -> None:
        """Treats SIGTERM and SIGINT as notices. Call it in the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _frame: self.give(signal.Signals(got).name, grace))
