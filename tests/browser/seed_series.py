"""The series of a job: metrics by step, and the system metrics of its workers."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.orm import Session

from service.db.tables import Job, Series, SeriesPoint

PEAK = 37.5
"""A single high value of `grad_norm`, which no chart may lose."""


def add_series(session: Session, job: Job, steps: int, began: datetime, now: datetime) -> None:
    """Add the series of a job that made so many steps between two times."""
    draw = random.Random(job.name)
    first, last = began.timestamp(), now.timestamp()

    def at(step: int) -> float:
        return first + (last - first) * step / steps

    trained = range(0, steps, 2)
    _add(session, job, "loss", [(s, 2.3 * math.exp(-3 * s / steps) + draw.gauss(0.3, 0.05), at(s)) for s in trained])
    norms = [(s, PEAK if s == 2 * (steps // 3) else abs(draw.gauss(1, 0.2)), at(s)) for s in trained]
    _add(session, job, "grad_norm", norms)
    _add(session, job, "learning_rate", [(s, 1e-3 * math.cos(1.5 * s / steps), at(s)) for s in range(0, steps, 10)])
    for name in ("loss", "accuracy", "perplexity"):
        values = [(s, draw.uniform(0.5, 1.5) + s / steps, at(s)) for s in range(0, steps, 500)]
        _add(session, job, f"val/{name}", values)
    seconds = range(int(first), int(last), 30)
    for name, middle, spread in (
        ("cpu", 62, 8), ("memory", 41, 1), ("disk", 17, 0.1), ("gpu0", 93, 4), ("gpu0_memory", 71, 0.5),
        ("gpu0_temperature", 64, 2), ("gpu0_power", 310, 25),
    ):  # fmt: skip
        _add(session, job, f"system/{name}", [(s, draw.gauss(middle, spread), float(s)) for s in seconds])


def _add(session: Session, job: Job, name: str, points: Sequence[tuple[int, float, float]]) -> None:
    values = [value for _, value, _ in points]
    row = Series(
        job_id=job.id, name=name, width=1, count=len(points), first_step=points[0][0], last_step=points[-1][0],
        last=values[-1], last_at=points[-1][2], minimum=min(values), maximum=max(values),
    )  # fmt: skip
    session.add(row)
    session.flush()
    session.execute(
        insert(SeriesPoint),
        [{"series": row.number, "step": step, "value": value, "at": at} for step, value, at in points],
    )
