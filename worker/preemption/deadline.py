"""The end of a session that is known beforehand (Colab's twelve hours, a batch queue's limit): `--deadline`.

All times in seconds; points in time are those of `time.monotonic`, which all processes of a machine share.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from worker.preemption.time_limit import read_limit

COLAB_SESSION = "11h30m"
COLAB_VARIABLES = ("COLAB_RELEASE_TAG", "COLAB_GPU")
WATCH_SECONDS = 1.0
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cost:
    """What an attempt cost beside its training: from its claim to its first step, and the margin for handing over."""

    startup: float = 0.0
    handover: float = 0.0


@dataclass
class Deadline:
    """When this worker's session ends, and whether another attempt is worth its start before that.

    `text`: as its user wrote it, "" for a session without an end. `grace`: the least margin for handing over.
    `cost`: as measured; before the first attempt its start-up is that of the training process alone.
    """

    text: str = ""
    ends_at: float = math.inf
    grace: float = 0.0
    cost: Cost = Cost()

    @property
    def left(self) -> float:
        """Seconds until the session ends."""
        return self.ends_at - time.monotonic()

    @property
    def needed(self) -> float:
        """What must be left for an attempt to be worth its start: starting, handing over, and as much again to train.

        So whatever is begun late in a session trains for at least half of its time.
        """
        return 2 * (self.cost.startup + max(self.grace, self.cost.handover))

    @property
    def too_late(self) -> str:
        """Why nothing more is to be begun, or nothing."""
        left = self.left
        if left >= self.needed:
            return ""
        text = "the session (--deadline %s) has %.0f s left, an attempt needs %.0f s to be worth its start"
        return text % (self.text, max(0.0, left), self.needed)

    def warmed_up(self, seconds: float) -> None:
        """What the start of a training process took: all that is known of an attempt's before the first one."""
        if self.cost == Cost():
            self.cost = Cost(startup=seconds)


NO_DEADLINE = Deadline()


def read_deadline(given: str | None, environment: Mapping[str, str], started: float, grace: float) -> Deadline:
    """The deadline from what a user gave, or from where we are: a Colab session ends after twelve hours.

    Raises:
        ValueError: it is no duration.
    """
    text = (given or "").strip()
    if not text and in_colab(environment):
        text = COLAB_SESSION
        log.info("this is Colab: as with --deadline %s (--deadline none trains until the cut-off)", text)
    seconds = read_limit(text)
    if seconds == math.inf:
        return Deadline(grace=grace)
    return Deadline(text, started + seconds, grace)


def process_started() -> float:
    """When this process was started, interpreter and imports included; on systems that do not tell, now."""
    now = time.monotonic()
    try:
        # Field 22: clock ticks since the machine's start; the name, field 2, may hold anything but this bracket.
        ticks = int(Path("/proc/self/stat").read_text().rsplit(")", 1)[1].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError, IndexError):
        return now
    return now - max(0.0, age)


def in_colab(environment: Mapping[str, str]) -> bool:
    """Whether this is a machine of Google Colab."""
    if any(name in environment for name in COLAB_VARIABLES):
        return True
    try:
        return importlib.util.find_spec("google.colab") is not None
    except ModuleNotFoundError:
        return False


def watch_deadline(deadline: Deadline, retire: Callable[[str], None]) -> None:
    """Calls `retire` once too little is left for another attempt; from a thread of its own."""
    if deadline.ends_at == math.inf:
        return
    log.info("the session ends in %.0f s (--deadline %s)", deadline.left, deadline.text)

    def run() -> None:
        while not (why := deadline.too_late):
            time.sleep(min(max(deadline.left - deadline.needed, 0.01), WATCH_SECONDS))
        retire(why)

    threading.Thread(target=run, name="deadline", daemon=True).start()


class Pace:
    """Measures what the margin before a deadline is made of, in the training process."""

    def __init__(self, deadline: Deadline, clock: Callable[[], float] = time.monotonic) -> None:
        self._deadline, self._clock = deadline, clock
        self._claimed = self._boundary = clock()
        self._startup = self._longest = self._save = 0.0

    def boundary(self) -> None:
        """The loop could end here: it asked whether to."""
        now = self._clock()
        self._longest, self._boundary = max(self._longest, now - self._boundary), now

    def stepped(self) -> None:
        """A step was taken; the first one ends the start-up."""
        self._startup = self._startup or self._clock() - self._claimed

    def saved(self, stall: float, seconds: float) -> None:
        """A save held the loop up for `stall`, and took `seconds` in the background."""
        self._save = max(self._save, stall + seconds)

    @property
    def cost(self) -> Cost:
        """What this attempt cost so far."""
        return Cost(self._startup or self._clock() - self._claimed, self.margin)

    @property
    def margin(self) -> float:
        """The longest way to a step boundary and two saves: one may be under way, of which the last has to wait."""
        return max(self._deadline.grace, self._longest + 2 * self._save)

    @property
    def left(self) -> float:
        """Seconds until the session ends."""
        return self._deadline.ends_at - self._clock()

    @property
    def over(self) -> bool:
        """Whether to hand over now."""
        return self.left <= self.margin

    @property
    def cause(self) -> str:
        """For the job's log."""
        return f"the worker's session of {self._deadline.text} ends"
