"""What follows the end of an attempt: another attempt, a pause, or the end of the job. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass

from baton.domain.backoff import backoff
from baton.domain.reasons import Category, Reason, category, is_outage
from baton.domain.spec import RetrySpec

MAX_BACKOFF = 3600.0
MAX_OUTAGE_BACKOFF = 300.0
OTHER_WORKER_SECONDS = 2.0
MAX_RESTORE_FAILURES = 3
DATA_CHANGES_TO_PAUSE = 2
PASSED_OVER_SECONDS = 120.0
"""A worker on which the data had changed, or training stalled, does not get the job again for this many seconds."""
_RESTORE_ADVICE = (
    "Read the worker's log. The usual causes are too little memory for the state, and libraries that differ from those "
    "that wrote it. The checkpoints stay in the store: remove the cause and retry the job, or submit the job again to "
    "train from the beginning"
)
# An exact resume computes the same values again, so another attempt cannot help.
_FINAL = frozenset({Reason.NOT_FINITE})


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

    `reason`: as stored; it may be a reason of another version. `failures`, `without_progress`: failed
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
