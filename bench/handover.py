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
GIVEN, CLAIMED = r"attempt \w+ goes to training process", r"attempt \d+ of job"
READ, LOADED, BUILT = r"read step \d+ back", r"images of \d+ px at hand", r"built the network"
STEPPED = r"compiled and took the first step in ([\d.]+) s"
PARTS = (
    "stop or detection",
    "dispatch",
    "interpreter, imports",
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


def attempt_ended(jobs: Jobs, job: str, attempt: int) -> float | None:
    """When this attempt, counted from 1, ended."""
    row: dict[str, Any] = jobs.items(job, "attempts")[attempt - 1]
    ended = row["finished_at"]
    return instant(ended) if ended else None


def instant(text: str) -> float:
    """Seconds since the epoch of a time as the service writes it."""
    return datetime.fromisoformat(text).timestamp()


def split(signalled: float, ended: float, log: WorkerLog) -> dict[str, float]:
    """Seconds of each part; they follow one another, and their sum is the time from the signal to the first new step.

    A worker that was started cold may get the attempt before its imports are done; the rest of them counts then.
    """
    stepped = log.wait(STEPPED)
    given = max(ended, log.at(GIVEN))
    ready = max(given, log.at(WARM))
    marks = [
        ended,
        given,
        ready,
        *(log.at(what) for what in (CLAIMED, READ, LOADED, BUILT)),
        stepped.at - stepped.value,
    ]
    parts = zip(PARTS, [signalled, *marks], marks, strict=False)
    return {name: after - before for name, before, after in parts} | {COMPILE: stepped.value}
