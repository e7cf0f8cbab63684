"""Goodput: how a job's time divides into buckets, in seconds. Workers measure some, the others come from the rows.

Pure: clocks are passed in.
The buckets are the usual ones of the ML productivity goodput metric (Google, https://github.com/AI-Hypercomputer/
ml-goodput-measurement) with validation and evaluation as productive work; docs/explanation/goodput.md explains each.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from baton.domain.wire import Phase

_T = TypeVar("_T")


class Bucket(StrEnum):
    """What a job's time was spent on."""

    WAITING = "waiting"
    RECOVERY = "recovery"
    STARTUP = "startup"
    DATA_LOADING = "data_loading"
    RESTORE = "restore"
    TRAINING = "training"
    CHECKPOINT_STALL = "checkpoint_stall"
    VALIDATION = "validation"
    EVALUATION = "evaluation"
    REDONE = "redone"
    PAUSED = "paused"
    OTHER = "other"


PRODUCTIVE = (Bucket.TRAINING, Bucket.VALIDATION, Bucket.EVALUATION)
NOT_COUNTED = (Bucket.WAITING, Bucket.PAUSED)
"""Goodput does not count this time as a loss: no worker has started yet, or no worker should be working."""

# A worker cannot measure these. They are computed from the rows.
_FROM_ROWS = (Bucket.WAITING, Bucket.RECOVERY, Bucket.PAUSED, Bucket.REDONE)
MEASURED = tuple(bucket for bucket in Bucket if bucket not in _FROM_ROWS)
_PHASES = {
    Phase.STARTING: Bucket.STARTUP,
    Phase.LOADING: Bucket.DATA_LOADING,
    Phase.RESTORING: Bucket.RESTORE,
    Phase.TRAINING: Bucket.TRAINING,
    Phase.VALIDATING: Bucket.VALIDATION,
    Phase.EVALUATING: Bucket.EVALUATION,
    Phase.STOPPING: Bucket.CHECKPOINT_STALL,
}
_PHASES_BY_NAME = {phase.value: bucket for phase, bucket in _PHASES.items()}
Seconds = dict[Bucket, float]


class Stopwatch:
    """Divides the time since its creation among buckets. Each moment counts once, in the innermost `measure`; outside
    of every `measure` it counts as `other`.

    One thread measures, any thread may read. `clock`: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._sums = dict.fromkeys(MEASURED, 0.0)
        self._bucket, self._since = Bucket.OTHER, clock()

    @contextmanager
    def measure(self, bucket: Bucket) -> Iterator[None]:
        """Counts the time of the block in this bucket instead of the outer one."""
        outer = self._switch(bucket)
        try:
            yield
        finally:
            self._switch(outer)

    def draw(self, items: Iterable[_T], bucket: Bucket) -> Iterator[_T]:
        """Yields the items. The time spent waiting for each item counts in the bucket."""
        source, end = iter(items), object()
        while True:
            with self.measure(bucket):
                item = next(source, end)
            if item is end:
                return
            yield item  # type: ignore[misc]  # only `end` is not of the items

    def _switch(self, bucket: Bucket) -> Bucket:
        with self._lock:
            now, left = self._clock(), self._bucket
            self._sums[left] += now - self._since
            self._bucket, self._since = bucket, now
            return left

    def seconds(self) -> dict[str, float]:
        """Seconds of each bucket until now. Their sum is the time since the stopwatch was created."""
        with self._lock:
            sums = {bucket.value: seconds for bucket, seconds in self._sums.items()}
            sums[self._bucket] += self._clock() - self._since
            return sums

    def lap(self) -> float:
        """Seconds since the last change of the bucket."""
        with self._lock:
            return self._clock() - self._since


@dataclass(frozen=True)
class Span:
    """One attempt as stored in its row.

    `measured`: seconds that the worker reported last. `covered`: seconds of training that are saved in committed
    checkpoints. `kept`: its training is not lost, because it finished the job or is still running. `phase`: the
    current phase of a live attempt. `recovers`: it was queued after an interruption, so the time until its claim is a
    loss.
    """

    created_at: datetime
    claimed_at: datetime | None
    finished_at: datetime | None
    measured: Mapping[str, float]
    covered: float = 0.0
    kept: bool = True
    phase: str | None = None
    recovers: bool = False

    @property
    def queued(self) -> Bucket:
        """The bucket for the time until its claim."""
        return Bucket.RECOVERY if self.recovers else Bucket.WAITING


@dataclass(frozen=True)
class Life:
    """A job's times as stored in its row. `paused`: total seconds of the owner's pauses that have ended.

    `recovers`: it was interrupted, and no attempt has trained since.
    """

    created_at: datetime
    finished_at: datetime | None
    paused: float = 0.0
    paused_at: datetime | None = None
    recovers: bool = False


def attempt_seconds(span: Span, now: datetime) -> Seconds:
    """Seconds of an attempt by bucket, from its creation to its end or to `now`. Their sum is exactly that time.

    Time that the worker did not report (between its last report and the end of the lease, and message delays) counts
    as `other`. While the attempt is live, the time since the last report counts for the reported phase.
    """
    sums, end = dict.fromkeys(Bucket, 0.0), span.finished_at or now
    sums[span.queued] = _between(span.created_at, span.claimed_at or end)
    if span.claimed_at is None:
        return sums
    held, reported = _between(span.claimed_at, end), _reported(span)
    # A worker's clock may run faster than the database's. The database decides how long the attempt was held.
    scale = min(1.0, held / sum(reported.values())) if any(reported.values()) else 1.0
    for bucket, seconds in reported.items():
        sums[bucket] += scale * seconds
    sums[_unreported(span)] += max(0.0, held - scale * sum(reported.values()))
    return sums


def _reported(span: Span) -> Seconds:
    reported = dict.fromkeys(Bucket, 0.0)
    for name, seconds in span.measured.items():
        reported[Bucket(name) if name in MEASURED else Bucket.OTHER] += seconds
    if not span.kept:
        lost = max(0.0, reported[Bucket.TRAINING] - span.covered)
        reported[Bucket.TRAINING] -= lost
        reported[Bucket.REDONE] += lost
    return reported


def _unreported(span: Span) -> Bucket:
    """The bucket for time without a report."""
    if span.finished_at is not None or span.phase is None:
        return Bucket.OTHER
    return _PHASES_BY_NAME.get(span.phase, Bucket.OTHER)


def job_seconds(
    life: Life, spans: Sequence[Span], now: datetime, spent: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Seconds of a job by bucket, from its submission to its end or to `now`, with `total` and `goodput`.

    `spent`: seconds by bucket of ended attempts that were added up before and are not in `spans`.

    `goodput`, 0 to 1: productive seconds (training, validation, evaluation) divided by the seconds in which an attempt
    held the job or the job recovered from an interruption. Time in the queue and pauses do not count.
    """
    total = _between(life.created_at, life.finished_at or now)
    paused = life.paused + (_between(life.paused_at, now) if life.paused_at else 0.0)
    each = [attempt_seconds(span, now) for span in spans]
    before = spent or {}
    sums = {bucket: before.get(bucket.value, 0.0) + sum(one[bucket] for one in each) for bucket in Bucket}
    sums[Bucket.PAUSED] = paused
    # A job without an attempt and without a pause waits too: the reconciler will give it an attempt.
    gap = Bucket.RECOVERY if life.recovers else Bucket.WAITING
    sums[gap] += max(0.0, total - sum(sums.values()))
    counted = total - sum(sums[bucket] for bucket in NOT_COUNTED)
    return {
        **{bucket.value: seconds for bucket, seconds in sums.items()},
        "total": total,
        "goodput": min(1.0, sum(sums[bucket] for bucket in PRODUCTIVE) / counted) if counted > 0 else 0.0,
    }


def _between(begun: datetime, ended: datetime) -> float:
    return max(0.0, (ended - begun).total_seconds())
