"""The time from a signal to the first new step on another worker, split into parts by times in the worker's log."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from tests.support.jobs import Jobs
from tests.support.worker import WorkerProcess

WARM = "warm: waiting for an attempt"
CLAIMED = r"attempt \d+ of job"
READ, LOADED, BUILT = r"restored step \d+", r"loaded the images of \d+ px", r"built the network"
STEPPED = r"compiled and took the first step in ([\d.]+) s"
PARTS = (
    "stop or detection",
    "interpreter, imports",
    "dispatch",
    "claim",
    "restore",
    "data",
    "build",
    "load, first batch",
)
COMPILE = "compile, first step"
_T = TypeVar("_T")


def until(found: Callable[[], _T | None], what: str, seconds: float = 180.0) -> _T:
    """Call `found` until its result is not None, and return it. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while (value := found()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {seconds:.0f} s")
        time.sleep(0.05)
    return value


@dataclass(frozen=True)
class Line:
    """A line of a log: its time, and the number that it contains."""

    at: float
    value: float


class WorkerLog:
    """The log of a worker that runs one attempt."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._file = worker.log

    def find(self, pattern: str) -> Line | None:
        """The first line that matches."""
        for line in self._file.read_text(errors="replace").splitlines():
            if match := re.search(pattern, line):
                at = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()
                return Line(at, float(match[1]) if match.groups() else 0.0)
        return None

    def wait(self, pattern: str) -> Line:
        """Wait for the first line that matches."""
        return until(lambda: self.find(pattern), pattern)

    def at(self, pattern: str) -> float:
        """The time of the first line that matches. Raises LookupError."""
        line = self.find(pattern)
        if line is None:
            raise LookupError(f"{self._file} has no line with {pattern}")
        return line.at


@dataclass(frozen=True)
class Change:
    """The end time of one attempt and the id of the next one."""

    ended: float
    following: str


def change_after(jobs: Jobs, job: str, attempt: int) -> Change | None:
    """The change after attempt number `attempt`, from 1. None if the attempt has not ended."""
    rows: list[dict[str, Any]] = jobs.items(job, "attempts")
    if len(rows) <= attempt:
        return None
    return Change(instant(rows[attempt - 1]["finished_at"]), rows[attempt]["id"])


def instant(text: str) -> float:
    """A time of the service as seconds since the Unix epoch."""
    return datetime.fromisoformat(text).timestamp()


def split(signalled: float, change: Change, log: WorkerLog) -> dict[str, float]:
    """Seconds of each part. Their sum is the time from the signal to the first new step.

    A cold worker takes the attempt when its imports are complete. The time until then counts as imports.
    """
    stepped = log.wait(STEPPED)
    given = log.at(f"attempt {change.following} goes to training process")
    ready = max(change.ended, log.at(WARM))
    marks = [
        change.ended,
        ready,
        given,
        *(log.at(what) for what in (CLAIMED, READ, LOADED, BUILT)),
        stepped.at - stepped.value,
    ]
    parts = zip(PARTS, [signalled, *marks], marks, strict=False)
    return {name: after - before for name, before, after in parts} | {COMPILE: stepped.value}
