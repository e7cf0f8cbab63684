"""Preemption notices: whoever says that the machine goes away says it here."""

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
    """Word that the machine goes away, or, not `certain`, that it may.

    `source`: who says so (signal, gce, aws, azure, deadline). `seconds`: from when it was said until it is gone.
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
    """What the training process was told. May be given by a signal handler: it takes no lock.

    `news` holds each word that the job's log is to tell, for one reader.
    """

    def __init__(self) -> None:
        self._first: NoticeDetails | None = None
        self._ends = math.inf
        self._save_asked = False
        self.news: SimpleQueue[NoticeDetails | None] = SimpleQueue()

    @property
    def given(self) -> bool:
        """Whether the machine goes away."""
        return self._first is not None

    @property
    def cause(self) -> str:
        """The first cause that was given."""
        return "" if self._first is None else str(self._first)

    def left(self) -> float:
        """Seconds until the machine is gone: the shortest that anybody gave; infinite without a notice."""
        return max(0.0, self._ends - time.monotonic())

    def give(self, cause: str, seconds: float = DEFAULT_GRACE, *, source: str = "signal") -> None:
        """The machine goes away in so many seconds. The first cause is kept."""
        self.take(NoticeDetails(source, cause, seconds))

    def take(self, word: NoticeDetails) -> None:
        """What somebody said. A machine that may go away is a reason to save, not to stop."""
        if not word.certain:
            self._save_asked = True
            self.news.put(word)
            return
        self._ends = min(self._ends, time.monotonic() + word.seconds)
        if self._first is None:
            self._first = word
            self.news.put(word)

    def take_save(self) -> bool:
        """Whether a save was asked for since the last call."""
        asked, self._save_asked = self._save_asked, False
        return asked

    def listen(self, grace: float = DEFAULT_GRACE) -> None:
        """Takes SIGTERM and SIGINT for notices. To be called from the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda got, _frame: self.give(signal.Signals(got).name, grace))
