"""Where a job's time went: seconds in buckets, measured by workers, put together from rows. Pure: clocks are passed in.

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
    """What a second was spent on."""

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
"""No worker has started or should be working in this time. It is not a loss, so goodput leaves it out."""

# What no worker can know of itself: only the rows tell it.
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
    """Divides the time since it was made among buckets: each moment counts once, in the innermost `measure`.

    One thread measures, any may read. `clock` in seconds, monotonic. Outside of every `measure` time counts as `other`.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._sums = dict.fromkeys(MEASURED, 0.0)
        self._bucket, self._since = Bucket.OTHER, clock()

    @contextmanager
    def measure(self, bucket: Bucket) -> Iterator[None]:
        """Counts what happens inside in this bucket and not in the one outside."""
        outer = self._switch(bucket)
        try:
            yield
        finally:
            self._switch(outer)

    def draw(self, items: Iterable[_T], bucket: Bucket) -> Iterator[_T]:
        """The items; waiting for each of them counts in the bucket."""
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
        """Seconds of each bucket so far, what is under way included; they add up to the watch's age."""
        with self._lock:
            sums = {bucket.value: seconds for bucket, seconds in self._sums.items()}
            sums[self._bucket] += self._clock() - self._since
            return sums

    def lap(self) -> float:
        """Seconds since the bucket was changed last."""
        with self._lock:
            return self._clock() - self._since


@dataclass(frozen=True)
class Span:
    """One attempt as stored in its row.

    `measured`: seconds that the worker reported last. `covered`: training seconds that committed checkpoints hold.
    `kept`: its training is not lost, because it finished the job or is still running. `phase`: the current phase of a
    live attempt. `recovers`: it was queued after an interruption, so the time until its claim is a loss.
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
    """Seconds of an attempt from being queued to its end, or to `now`: the buckets add up to exactly that.

    What no worker told of (after its last word until the lease ran out, and the way of messages) is `other`; while the
    attempt is live, what came after the last word counts for the phase that it told.
    """
    sums, end = dict.fromkeys(Bucket, 0.0), span.finished_at or now
    sums[span.queued] = _between(span.created_at, span.claimed_at or end)
    if span.claimed_at is None:
        return sums
    held, told = _between(span.claimed_at, end), _told(span)
    # A worker's clock may be faster than the database's, which alone decides how long the attempt was held.
    scale = min(1.0, held / sum(told.values())) if any(told.values()) else 1.0
    for bucket, seconds in told.items():
        sums[bucket] += scale * seconds
    sums[_untold(span)] += max(0.0, held - scale * sum(told.values()))
    return sums


def _told(span: Span) -> Seconds:
    told = dict.fromkeys(Bucket, 0.0)
    for name, seconds in span.measured.items():
        told[Bucket(name) if name in MEASURED else Bucket.OTHER] += seconds
    if not span.kept:
        lost = max(0.0, told[Bucket.TRAINING] - span.covered)
        told[Bucket.TRAINING] -= lost
        told[Bucket.REDONE] += lost
    return told


def _untold(span: Span) -> Bucket:
    if span.finished_at is not None or span.phase is None:
        return Bucket.OTHER
    return _PHASES_BY_NAME.get(span.phase, Bucket.OTHER)


def job_seconds(
    life: Life, spans: Sequence[Span], now: datetime, spent: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Seconds of a job from its submission to its end, or to `now`, with `total` and `goodput`.

    `spent`: seconds by bucket of ended attempts that were added up before and are not in `spans`.

    `goodput`: productive seconds (training, validation, evaluation) divided by the seconds in which an attempt held the
    job or the job recovered from an interruption, 0 to 1. Time in the queue and pauses do not count.
    """
    total = _between(life.created_at, life.finished_at or now)
    paused = life.paused + (_between(life.paused_at, now) if life.paused_at else 0.0)
    each = [attempt_seconds(span, now) for span in spans]
    before = spent or {}
    sums = {bucket: before.get(bucket.value, 0.0) + sum(one[bucket] for one in each) for bucket in Bucket}
    sums[Bucket.PAUSED] = paused
    # Without an attempt and without a pause a job waits too: until a repair gives it an attempt.
    gap = Bucket.RECOVERY if life.recovers else Bucket.WAITING
    sums[gap] += max(0.0, total - sum(sums.values()))
    return {
        **{bucket.value: seconds for bucket, seconds in sums.items()},
        "total": total,
        "goodput": _share(sums, total),
    }


def _share(sums: Seconds, total: float) -> float:
    counted = total - sum(sums[bucket] for bucket in NOT_COUNTED)
    return min(1.0, sum(sums[bucket] for bucket in PRODUCTIVE) / counted) if counted > 0 else 0.0


def _between(begun: datetime, ended: datetime) -> float:
    return max(0.0, (ended - begun).total_seconds())
