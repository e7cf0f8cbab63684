"""Policies as pure functions: when to save a checkpoint, when to try again, when to give up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from baton.domain.backoff import backoff
from baton.domain.spec import EverySeconds, EverySteps, JobSpec, RetrySpec

MIN_INTERVAL, MAX_INTERVAL = 15.0, 1800.0
MAX_BACKOFF = 3600.0
MAX_OUTAGE_BACKOFF = 300.0
OTHER_WORKER_SECONDS = 2.0
MAX_RESTORE_FAILURES = 3
DATA_CHANGES_TO_PAUSE = 2
PASSED_OVER_SECONDS = 120.0
"""A worker on which the data had changed, or training stalled, does not get the job again for these seconds."""
OVERDUE_INTERVALS, OVERDUE_SECONDS = 3.0, 60.0
PRIOR_INTERRUPTION_SECONDS = 3600.0


class Category(StrEnum):
    """The cause of the end of an attempt. It decides whether another attempt can help."""

    USER = "user"
    PREEMPTION = "preemption"
    INFRASTRUCTURE = "infrastructure"
    PROGRAM = "program"


class Reason(StrEnum):
    """Why an attempt or a job ended. These codes are stable: users and scripts see them."""

    PREEMPTED = "preempted"
    LEASE_EXPIRED = "lease_expired"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    BAD_DATA = "bad_data"
    DATA_CHANGED = "data_changed"
    UNSUPPORTED = "unsupported"
    PROCESS_DIED = "process_died"
    STALLED = "stalled"
    AUGMENTATION_DIED = "augmentation_died"
    OUT_OF_MEMORY = "out_of_memory"
    DISK_FULL = "disk_full"
    CACHE_UNUSABLE = "cache_unusable"
    DOWNLOAD_FAILED = "download_failed"
    STORE_UNAVAILABLE = "store_unavailable"
    STORE_REFUSED = "store_refused"
    WRONG_STORE = "wrong_store"
    RESTORE_FAILED = "restore_failed"
    WORKER_TOO_OLD = "worker_too_old"
    EXCEPTION = "exception"
    TOO_MANY_FAILURES = "too_many_failures"
    NO_PROGRESS = "no_progress"
    DETERMINISTIC_FAILURE = "deterministic_failure"
    NOT_FINITE = "not_finite"
    MAX_RUNTIME = "max_runtime"


_CATEGORIES = {
    Category.USER: {
        Reason.BAD_DATA,
        Reason.DATA_CHANGED,
        Reason.UNSUPPORTED,
        Reason.PAUSED,
        Reason.CANCELLED,
        Reason.MAX_RUNTIME,
    },
    Category.PREEMPTION: {Reason.PREEMPTED, Reason.LEASE_EXPIRED},
    Category.PROGRAM: {
        Reason.EXCEPTION,
        Reason.TOO_MANY_FAILURES,
        Reason.NO_PROGRESS,
        Reason.DETERMINISTIC_FAILURE,
        Reason.NOT_FINITE,
    },
}
_RESTORE_ADVICE = (
    "Look into the worker's log: too little memory for the state, or other libraries than those that wrote it, are the "
    "usual causes. The checkpoints stay in the store; submit the job again to train from the beginning"
)
# An exact resume computes the same values again, so another attempt cannot help.
_FINAL = frozenset({Reason.NOT_FINITE})


def category(reason: str) -> Category:
    """The category of a reason. Reasons that are unknown or not listed belong to the infrastructure."""
    for found, reasons in _CATEGORIES.items():
        if reason in reasons:
            return found
    return Category.INFRASTRUCTURE


@dataclass(frozen=True)
class TryAgain:
    """Queue another attempt, `after` seconds from now."""

    after: float


@dataclass(frozen=True)
class GiveUp:
    """End the job as failed. `message`: text for the owner."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class Pause:
    """Keep the job and its checkpoints until its owner resumes it. `message`: text for the owner."""

    reason: Reason
    message: str


@dataclass(frozen=True)
class EndedAttempt:
    """The input of the retry policy.

    `reason`: as stored; it may be one that only another version knows. `failures`, `without_progress`: failed
    attempts, and attempts in a row without a new step in a checkpoint, including this one. Numbers of attempts
    in a row: `restore_failures` ended during a restore, `outages` ended because of an outage (`is_outage`),
    `data_changes` (including this one) found other data than the checkpoint's. `repeated_at`: the global step at which
    this attempt and the failed one before it failed in the same way. `others`: whether another worker may take the job.
    """

    reason: str
    message: str
    failures: int
    without_progress: int
    restore_failures: int = 0
    outages: int = 0
    repeated_at: int | None = None
    data_changes: int = 0
    others: bool = False


def is_outage(reason: str) -> bool:
    """Whether an attempt ended because the store, the original data or a new enough worker was unavailable.

    The job waits for it, and this uses none of its retries.
    """
    return reason in (Reason.STORE_UNAVAILABLE, Reason.DATA_CHANGED, Reason.WORKER_TOO_OLD)


def backoff_seconds(base: float, failures: int, draw: float) -> float:
    """Seconds to wait before the next attempt, at most MAX_BACKOFF. `draw`: uniform in [0, 1)."""
    return backoff(base, failures, MAX_BACKOFF, draw)


def after_attempt(ended: EndedAttempt, retry: RetrySpec, draw: float) -> TryAgain | GiveUp | Pause:
    """Decides what follows an attempt that did not finish its job. `draw`: uniform in [0, 1), for the jitter.

    A preemption is retried at once, a failure after a backoff, until `retry.max_failures` is exceeded.

    >>> lost = EndedAttempt("lease_expired", "the lease expired", failures=0, without_progress=0)
    >>> after_attempt(lost, RetrySpec(), draw=0.5)
    TryAgain(after=0.0)
    >>> failed = EndedAttempt("exception", "ValueError: x", failures=4, without_progress=1)
    >>> after_attempt(failed, RetrySpec(max_failures=3), draw=0.5).reason.value
    'too_many_failures'
    """
    kind = category(ended.reason)
    if ended.reason == Reason.DATA_CHANGED:
        return _other_data(ended)
    if is_outage(ended.reason):
        # Another worker may be new enough. The same worker does not get the job again.
        base = OTHER_WORKER_SECONDS if ended.reason == Reason.WORKER_TOO_OLD else retry.backoff
        return TryAgain(min(backoff_seconds(base, ended.outages, draw), MAX_OUTAGE_BACKOFF))
    final = kind is Category.USER or ended.reason in _FINAL
    hopeless = GiveUp(Reason(ended.reason), ended.message) if final else _hopeless(ended, retry)
    if hopeless is not None:
        return hopeless
    if kind is Category.PREEMPTION:
        return TryAgain(0.0)
    if ended.failures > retry.max_failures:
        text = f"failed {ended.failures} times (max_failures is {retry.max_failures}); the last: {ended.message}"
        return GiveUp(Reason.TOO_MANY_FAILURES, text)
    return TryAgain(backoff_seconds(retry.backoff, ended.failures, draw))


def _other_data(ended: EndedAttempt) -> TryAgain | Pause:
    """One worker may have a stale copy, so another worker tries next. If there is no other, the owner decides."""
    if ended.others and ended.data_changes < DATA_CHANGES_TO_PAUSE:
        return TryAgain(0.0)
    return Pause(Reason.DATA_CHANGED, ended.message)


def _hopeless(ended: EndedAttempt, retry: RetrySpec) -> GiveUp | None:
    if ended.repeated_at is not None:
        text = f"failed twice in the same way at step {ended.repeated_at}, so it would fail there again"
        return GiveUp(Reason.DETERMINISTIC_FAILURE, f"{text}; the last: {ended.message}")
    if ended.restore_failures >= MAX_RESTORE_FAILURES:
        text = f"{ended.restore_failures} attempts in a row ended while they restored a checkpoint"
        return GiveUp(Reason.RESTORE_FAILED, f"{text}; the last: {ended.message}. {_RESTORE_ADVICE}")
    if ended.without_progress >= retry.max_attempts_without_progress:
        text = f"{ended.without_progress} attempts in a row committed no new step; the last: {ended.message}"
        return GiveUp(Reason.NO_PROGRESS, text)
    return None


def counts_as_restore_failure(reason: str) -> bool:
    """Whether an attempt that ended with this reason during a restore is a sign of bad checkpoints.

    False for a stop with notice, an unavailable store, changed data, a worker that is too old, or a worker with
    another store.
    """
    unrelated = (Reason.PREEMPTED, Reason.PAUSED, Reason.CANCELLED, Reason.WRONG_STORE)
    return reason not in unrelated and not is_outage(reason)


def seconds_between_interruptions(held_seconds: float, interruptions: int) -> float:
    """Mean seconds between interruptions. One assumed interruption in one hour is added to the observed ones."""
    return (held_seconds + PRIOR_INTERRUPTION_SECONDS) / (interruptions + 1)


def young_daly(cost_seconds: float, between_interruptions: float) -> float:
    """The optimal checkpoint interval in seconds, limited to 15 s to 30 min.

    `cost_seconds`: training time lost by one save. `between_interruptions`: mean seconds between interruptions.
    Source: J. W. Young, A first order approximation to the optimum checkpoint interval, CACM 17 (1974); J. T. Daly,
    Future Generation Computer Systems 22 (2006).

    >>> young_daly(cost_seconds=0.5, between_interruptions=3600.0)
    60.0
    """
    return min(max(math.sqrt(2 * cost_seconds * between_interruptions), MIN_INTERVAL), MAX_INTERVAL)


@dataclass(frozen=True)
class Since:
    """Steps and time since the last checkpoint, and the cost of a save. Times in seconds.

    `stall_seconds`: how long the training loop waits for a save. `save_seconds`: how long the background write takes.
    """

    steps: int
    seconds: float
    stall_seconds: float
    save_seconds: float
    between_interruptions: float


def interval_seconds(spec: JobSpec, since: Since) -> float | None:
    """Seconds between checkpoints by the spec's cadence. None for a cadence in steps before the first step.

    `auto` is Young-Daly with the stall as the cost, because training loses only the stall. The interval is at least
    twice the time of the background write, so that a save is committed well before the next one begins. It can
    therefore exceed 30 min.
    """
    match spec.checkpoint.every:
        case EverySteps(steps=steps):
            return min(steps, 2**53) * since.seconds / since.steps if since.steps else None
        case EverySeconds(seconds=seconds):
            return seconds
        case _:
            return max(young_daly(since.stall_seconds, since.between_interruptions), 2 * since.save_seconds)


def checkpoint_due(spec: JobSpec, since: Since) -> bool:
    """Whether the training loop should save now."""
    if isinstance(spec.checkpoint.every, EverySteps):
        return since.steps >= spec.checkpoint.every.steps
    interval = interval_seconds(spec, since)
    return interval is not None and since.seconds >= interval


def checkpoint_overdue(age: float, interval: float | None) -> bool:
    """Whether a running job's newest checkpoint is older than its cadence explains. `age`, `interval` in seconds."""
    return interval is not None and age > max(OVERDUE_INTERVALS * interval, OVERDUE_SECONDS)
