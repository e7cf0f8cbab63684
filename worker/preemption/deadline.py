"""`--deadline`: the end of a session that is known in advance (Colab's twelve hours, a batch queue's limit).

All times are in seconds. Points in time are those of `time.monotonic`, which all processes of a machine share.
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
    """The overhead of an attempt: the time from its claim to its first step, and the margin for handing over."""

    startup: float = 0.0
    handover: float = 0.0


@dataclass
class Deadline:
    """When this worker's session ends, and whether there is enough time left to start another attempt.

    `text`: the duration as the user wrote it, "" for a session without an end. `grace`: the minimum margin for handing
    over. `cost`: the measured cost; before the first attempt, it contains only the start-up of the training process.
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
        """The time that must be left to start an attempt: twice the overhead.

        With this limit, an attempt that starts late in a session trains for at least half of its time.
        """
        return 2 * (self.cost.startup + max(self.grace, self.cost.handover))

    @property
    def too_late(self) -> str:
        """Why no more attempts are started; empty if there is enough time."""
        left = self.left
        if left >= self.needed:
            return ""
        text = "the session (--deadline %s) has %.0f s left, an attempt needs at least %.0f s"
        return text % (self.text, max(0.0, left), self.needed)

    def warmed_up(self, seconds: float) -> None:
        """Sets the start-up time of a training process as a first estimate, before the first attempt is measured."""
        if self.cost == Cost():
            self.cost = Cost(startup=seconds)


NO_DEADLINE = Deadline()


def read_deadline(given: str | None, environment: Mapping[str, str], started: float, grace: float) -> Deadline:
    """The deadline from the user's setting. The default in Colab is 11h30m: its sessions end after twelve hours.

    Raises:
        ValueError: it is not a duration.
    """
    text = (given or "").strip()
    if not text and in_colab(environment):
        text = COLAB_SESSION
        log.info(
            "this is Colab: using --deadline %s (--deadline none: train until Colab ends the session)",
            text,
        )
    seconds = read_limit(text)
    if seconds == math.inf:
        return Deadline(grace=grace)
    return Deadline(text, started + seconds, grace)


def process_started() -> float:
    """When this process was started, before the interpreter and imports. If the system has no such time: now."""
    now = time.monotonic()
    try:
        # Field 22: clock ticks since boot. Split at the last bracket: the name, field 2, may contain any character.
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
    """Calls `retire` from a separate thread once there is too little time for another attempt."""
    if deadline.ends_at == math.inf:
        return
    log.info("the session ends in %.0f s (--deadline %s)", deadline.left, deadline.text)

    def run() -> None:
        while not (why := deadline.too_late):
            time.sleep(min(max(deadline.left - deadline.needed, 0.01), WATCH_SECONDS))
        retire(why)

    threading.Thread(target=run, name="deadline", daemon=True).start()


class Pace:
    """Measures, in the training process, the margin that a hand-over before the deadline needs."""

    def __init__(self, deadline: Deadline, clock: Callable[[], float] = time.monotonic) -> None:
        self._deadline, self._clock = deadline, clock
        self._claimed = self._boundary = clock()
        self._startup = self._longest = self._save = 0.0

    def boundary(self) -> None:
        """Call it at each step boundary, where the loop can end."""
        now = self._clock()
        self._longest, self._boundary = max(self._longest, now - self._boundary), now

    def stepped(self) -> None:
        """Call it after each step. The first step ends the start-up."""
        self._startup = self._startup or self._clock() - self._claimed

    def saved(self, stall: float, seconds: float) -> None:
        """A save stalled the loop for `stall` seconds, and took `seconds` in the background."""
        self._save = max(self._save, stall + seconds)

    @property
    def cost(self) -> Cost:
        """The overhead of this attempt so far."""
        return Cost(self._startup or self._clock() - self._claimed, self.margin)

    @property
    def grace(self) -> float:
        """Seconds that a hand-over may take if no notice says how long."""
        return self._deadline.grace

    @property
    def margin(self) -> float:
        """The longest time between two step boundaries, plus two saves: the last save may wait for an earlier one."""
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
        """The cause of the hand-over, for the job's log."""
        return f"the worker's session of {self._deadline.text} ends"
