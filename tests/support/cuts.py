"""Ends a program at a chosen point of its loop: a point is a call of `Run.save_due`.

`python -m tests.support.cuts MODULE ARGUMENT…` runs a module as a program; CUT has the cut of this process as JSON.
"""

from __future__ import annotations

import json
import os
import random
import runpy
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from baton.program.protocol import Stop
from baton.program.run import Run

STOP, KILL = "stop", "kill"
VARIABLE = "CUT"
SCHEDULES = int(os.environ.get("BATON_TEST_SCHEDULES", "3"))
"""Schedules of each program in slow tests. BATON_TEST_SCHEDULES=10 draws more."""


class Killed(BaseException):
    """Stands for a kill in a test that stays in its process."""


@dataclass(frozen=True)
class Cut:
    """How an attempt ends: `how` at `point`, after saves at the points `saves`. `how`: "stop", "kill", or nothing."""

    how: str
    point: int
    saves: tuple[int, ...]


def drawn(seed: int, points: int) -> Iterator[Cut]:
    """The cuts of the attempts of a schedule. `points`: of an uninterrupted run. The last cut is far away."""
    draw = random.Random(seed)
    for _ in range(draw.randint(2, 5)):
        end = draw.randint(1, max(1, points // 2))
        saves = sorted(draw.sample(range(1, end + 1), k=min(end, draw.randint(1, 3))))
        yield Cut(draw.choice((STOP, KILL)), end, tuple(saves))
    yield Cut("", 0, ())


@contextmanager
def cutting(cut: Cut, kill: Callable[[], None]) -> Iterator[list[int]]:
    """While it is open, all runs end as the cut says. Gives a list with the number of points so far."""
    count, original = [0], Run.save_due

    def save_due(run: Run) -> bool:
        count[0] += 1
        if count[0] in cut.saves:
            run._control.request_save()
        if cut.how and count[0] == cut.point:
            if cut.how == KILL:
                kill()
            run._control.request_stop(Stop("preempted"))
        return original(run)

    Run.save_due = save_due  # type: ignore[method-assign]
    try:
        yield count
    finally:
        Run.save_due = original  # type: ignore[method-assign]


def kill_in_process() -> None:
    """What a test uses that stays in its process."""
    raise Killed


def kill_process() -> None:
    """A real kill."""
    os.kill(os.getpid(), signal.SIGKILL)


def as_text(cut: Cut) -> str:
    """For the environment of a process."""
    return json.dumps(asdict(cut))


def main() -> None:
    """Run the module of the command line under the cut of the environment."""
    found = json.loads(os.environ[VARIABLE])
    cut = Cut(found["how"], found["point"], tuple(found["saves"]))
    del sys.argv[0]
    with cutting(cut, kill_process) as count:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    print(f"{count[0]} points")


if __name__ == "__main__":
    main()
