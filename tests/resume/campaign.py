"""Runs many schedules on one harness, two at a time, and compares each with the uninterrupted run of its job."""

from __future__ import annotations

import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from tests.resume.draws import Schedule
from tests.resume.final_states import FinalState
from tests.resume.harness import Harness, Run
from tests.support.fault_points import PROGRAM, STALL, Shot

AT_ONCE = 2
SIGNALS = ("SIGKILL", "SIGTERM", STALL, PROGRAM)


@dataclass(frozen=True)
class Outcome:
    """The result of a schedule. `differences` is empty if the job ended exactly as the uninterrupted run did."""

    schedule: Schedule
    differences: list[str]
    run: Run
    seconds: float

    @property
    def planned(self) -> list[Shot]:
        """All shots of the schedule."""
        return [shot for kill in self.schedule.kills for shot in kill.shots]


@dataclass
class Campaign:
    """Runs schedules of one kind, and keeps the results of the uninterrupted run of each job."""

    harness: Harness
    outcomes: list[Outcome] = field(default_factory=list)
    _whole: dict[int, Future[FinalState]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def run(self, schedules: Iterable[Schedule]) -> Iterator[Outcome]:
        """The outcomes, in the order in which the schedules end."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for done in as_completed([pool.submit(self._one, schedule) for schedule in schedules]):
                self.outcomes.append(done.result())
                yield self.outcomes[-1]

    @property
    def references(self) -> int:
        """The number of uninterrupted runs so far."""
        return len(self._whole)

    def _one(self, schedule: Schedule) -> Outcome:
        begun, run = time.monotonic(), Run("", schedule.helpers, schedule.through_service)
        try:
            whole = self._reference(schedule)
            begun = time.monotonic()
            run = self.harness.run(
                schedule.spec, schedule.kills, schedule.helpers, through_service=schedule.through_service
            )
            differences = whole.differences(self.harness.ending(run))
        except Exception:
            differences = [traceback.format_exc()]
        return Outcome(schedule, differences, run, time.monotonic() - begun)

    def _reference(self, schedule: Schedule) -> FinalState:
        with self._lock:
            mine = schedule.spec_number not in self._whole
            whole = self._whole.setdefault(schedule.spec_number, Future())
        if mine:
            try:
                whole.set_result(self.harness.ending(self.harness.run(schedule.spec)))
            except Exception as error:
                whole.set_exception(error)
        return whole.result()


def table(outcomes: list[Outcome]) -> str:
    """How many shots of each kind were planned, and how many were fired."""
    planned = Counter((shot.point, shot.signal) for one in outcomes for shot in one.planned)
    fell = Counter((shot.point, shot.signal) for one in outcomes for shot in one.run.fired)
    head = f"{'point':<30}" + "".join(f"{name:>16}" for name in SIGNALS) + "   (fell of planned)"
    points = sorted({point for point, _ in planned})
    return "\n".join(
        [head, *(_line(point, planned, fell) for point in points), _line("all", _sum(planned), _sum(fell))]
    )


def _line(point: str, planned: Counter[tuple[str, str]], fell: Counter[tuple[str, str]]) -> str:
    cells = [f"{fell[point, name]} of {planned[point, name]}" for name in SIGNALS]
    return f"{point:<30}" + "".join(f"{cell:>16}" for cell in cells)


def _sum(counts: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    total: Counter[Any] = Counter()
    for (_, name), count in counts.items():
        total["all", name] += count
    return total


def share_that_fell(outcomes: list[Outcome]) -> float:
    """The share of the planned shots that were fired."""
    return sum(len(one.run.fired) for one in outcomes) / max(1, sum(len(one.planned) for one in outcomes))
