"""One change of workers, from the signal to the first new step, split by the lines of the worker's log."""

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
READ, LOADED, BUILT = r"read step \d+ back", r"loaded the images of \d+ px", r"built the network"
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
    """What `found` gives once it gives anything. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while (value := found()) is None:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} within {seconds:.0f} s")
        time.sleep(0.05)
    return value


@dataclass(frozen=True)
class Line:
    """A line of a log that was looked for: when, and the number in it."""

    at: float
    value: float


class WorkerLog:
    """The log of a worker that lives for one attempt."""

    def __init__(self, worker: WorkerProcess) -> None:
        self._file = worker.log

    def find(self, pattern: str) -> Line | None:
        """The first line that has it."""
        for line in self._file.read_text(errors="replace").splitlines():
            if match := re.search(pattern, line):
                at = datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp()
                return Line(at, float(match[1]) if match.groups() else 0.0)
        return None

    def wait(self, pattern: str) -> Line:
        """The same, once it is there."""
        return until(lambda: self.find(pattern), pattern)

    def at(self, pattern: str) -> float:
        """When that line was written; it must be there."""
        line = self.find(pattern)
        if line is None:
            raise LookupError(f"{self._file} has no line with {pattern}")
        return line.at


@dataclass(frozen=True)
class Change:
    """Of attempts: when the one ended, and the other's id."""

    ended: float
    following: str


def change_after(jobs: Jobs, job: str, attempt: int) -> Change | None:
    """What followed this attempt, counted from 1, if it has ended."""
    rows: list[dict[str, Any]] = jobs.items(job, "attempts")
    if len(rows) <= attempt:
        return None
    return Change(instant(rows[attempt - 1]["finished_at"]), rows[attempt]["id"])


def instant(text: str) -> float:
    """Seconds since the epoch of a time as the service writes it."""
    return datetime.fromisoformat(text).timestamp()


def split(signalled: float, change: Change, log: WorkerLog) -> dict[str, float]:
    """Seconds of each part; they follow one another, and their sum is the time from the signal to the first new step.

    A cold worker takes the attempt when its imports are done; until then it counts as importing.
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
