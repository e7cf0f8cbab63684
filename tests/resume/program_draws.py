"""Draws small programs, and the kills of their attempts. A seed always gives the same."""

from __future__ import annotations

import random
from typing import Any

from tests.resume.draws import MOST_KILLS, PATIENT, Schedule
from tests.resume.harness import Kill
from tests.support.fault_points import HALF_WRITTEN, PROGRAM, PROGRAM_POINTS, Shot
from tests.support.program_jobs import program

SPECS = 12
"""The number of different jobs. Each needs one uninterrupted run for the comparison."""
TEST_SPECS = 3
"""The number of these jobs from which the tests draw."""
STEPS = 60
_RUNNING = ("SIGKILL", "SIGKILL", "SIGTERM", PROGRAM)
_ONLY_RUNNER = ("SIGKILL", "SIGKILL", "SIGTERM")
"""While no program runs."""
_FAMILIES = {
    "claim": (1, _ONLY_RUNNER, ("claimed",)),
    "restore": (
        3,
        _ONLY_RUNNER,
        (
            "before the rollback",
            "after the rollback",
            "after the rollback of rows",
            "before restoring a file",
            "after restoring a file",
        ),
    ),
    "write": (3, _RUNNING, ("while writing files",)),
    "save": (
        8,
        _RUNNING,
        (
            "before taking a save",
            "after taking a save",
            "while hashing",
            "before uploading a file",
            "after uploading a file",
            "before the manifest",
            "after the manifest",
            "before the commit",
            "after the commit",
        ),
    ),
    "records": (
        3,
        _RUNNING,
        ("before sending series", "after sending series", "before an epoch record", "after an epoch record"),
    ),
    "end": (2, _ONLY_RUNNER, ("before finishing", "after finishing")),
}
"""The kinds of points: weight, signals, points."""
_REPEATED = ("write", "save", "records")
"""Each attempt reaches these points several times."""


def program_schedule(number: int, specs: int = SPECS) -> Schedule:
    """The schedule of this seed."""
    draw = random.Random(number)
    spec_number = draw.randrange(specs)
    return Schedule(
        number, spec_number, job(spec_number), _kills(draw, number), helpers=0, through_service=number % 2 == 1
    )


def job(number: int) -> dict[str, Any]:
    """The job of this number. The last step is saved, so that the newest checkpoint is always that of the same step."""
    draw = random.Random(f"job {number}")
    params = {
        "steps": STEPS,
        "epoch_steps": draw.choice([4, 10]),
        "save_every": draw.choice([2, 3, 4, 6]),
        "step_seconds": 0.02,
        "size": draw.choice([0, 3 << 20]),
        "half_written": HALF_WRITTEN,
    }
    return {
        **program("chain.py", params=params, name="chaos-program", retry=PATIENT),
        "monitor": {"metric": "val_loss", "mode": draw.choice(["min", "max"])},
        "checkpoint": {"every": "5 steps", "keep": draw.randint(1, 3)},
    }


def _kills(draw: random.Random, number: int) -> tuple[Kill, ...]:
    """One to four kills, in an order in which most of them reach their point.

    One is at the point of this number, so that as many seeds in a row as there are points have all points.
    """
    weights = [weight for weight, _, _ in _FAMILIES.values()]
    families = draw.choices([*_FAMILIES], weights, k=draw.randint(0, MOST_KILLS - 1))
    points = [PROGRAM_POINTS[number % len(PROGRAM_POINTS)], *(draw.choice(_FAMILIES[one][2]) for one in families)]
    points.sort(key=_is_late)
    while _is_late(points[-2:][0]) and len(points) > 1:  # after the first one, little or nothing is left to do
        points.pop()
    kills = [_kill(draw, point) for point in points]
    if _family(points[0]) in ("restore", "end"):  # it needs something to restore
        kills.insert(0, Kill((Shot("after the commit", draw.randint(1, 2), "SIGKILL"),)))
    return tuple(kills)


def _family(point: str) -> str:
    return next(name for name, (_, _, points) in _FAMILIES.items() if point in points)


def _is_late(point: str) -> bool:
    return _family(point) == "end"


def _kill(draw: random.Random, point: str) -> Kill:
    family = _family(point)
    nth = draw.choice([1, 1, 2]) if family in _REPEATED else 1
    shots = [Shot(point, nth, draw.choice(_FAMILIES[family][1]))]
    if shots[0].signal == "SIGTERM" and family in _REPEATED and draw.randrange(3) == 0:
        # The machine disappears while the warned program saves its state.
        shots.append(Shot(draw.choice(_FAMILIES["save"][2]), 1, "SIGKILL"))
    return Kill(tuple(shots), reported=draw.randrange(6) > 0)
