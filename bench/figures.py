"""Numbers with their spread, and how they are printed."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from baton.system.cpus import cpus

RESAMPLES = 2000


@dataclass(frozen=True)
class Spread:
    """Repeated measurements of one quantity. `error`: standard error of the median, by resampling."""

    n: int
    median: float
    low: float
    high: float
    mean: float
    error: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of at least one value; `low` and `high` are the quartiles."""
        array = np.asarray(values, dtype=np.float64)
        draws = np.random.default_rng(0).choice(array, (RESAMPLES, len(array)))
        low, median, high = (float(q) for q in np.percentile(array, [25, 50, 75]))
        return cls(len(array), median, low, high, float(array.mean()), float(np.median(draws, axis=1).std()))

    def ms(self) -> tuple[str, ...]:
        """Seconds as a row of milliseconds: median, its error, quartiles, mean, number of values."""
        values = (self.median, self.error, self.low, self.high, self.mean)
        return (*(f"{1000 * value:.1f}" for value in values), str(self.n))


MS_COLUMNS = ("median ms", "error", "25 %", "75 %", "mean", "n")


def heading(title: str) -> None:
    """A title, the time, and the kind of machine."""
    cores = cpus()
    now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    load = "/".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"\n=== {title}\n{now}; {cores} cores, {platform.machine()}; load average at the start {load}", flush=True)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows below column titles. The first column is aligned left, the others right."""
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    for line in lines:
        cells = [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())
    print(flush=True)


def percent(value: float) -> str:
    """A fraction in percent."""
    return f"{100 * value:.2f} %"
