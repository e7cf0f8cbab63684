"""Counts for the retry policy, as pure functions of how a job's attempts ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from baton.domain.reasons import Reason, is_outage

FORGIVEN_AFTER = 3600.0
"""Earlier failures are not counted after an attempt with this many seconds of training in checkpoints."""


@dataclass(frozen=True)
class Trace:
    """The part of an ended attempt that the retry policy needs. `covered_seconds`: its training time in checkpoints.

    `at_step`: the global step at which it failed. `fault`: what failed there. Both are None if one of them is unknown
    or the attempt had not begun to train.
    """

    reason: str | None
    failed: bool
    covered_seconds: float = 0.0
    at_step: int | None = None
    fault: str | None = None
    device: str | None = None


def failures_that_count(newest_first: Sequence[Trace]) -> int:
    """Failures since the last attempt that made good progress (FORGIVEN_AFTER).

    Failures that are hours of training apart are not a sign of a broken job. An outage, such as an unavailable store,
    is not a failure: the job waits for the end of the outage.
    """
    count = 0
    for one in newest_first:
        count += one.failed and not (one.reason and is_outage(one.reason))
        if one.covered_seconds >= FORGIVEN_AFTER:
            break
    return count


def outages_in_a_row(newest_first: Sequence[Trace]) -> int:
    """How many of the newest attempts in a row ended because of an outage (`is_outage`)."""
    count = 0
    for one in newest_first:
        if one.reason is None or not is_outage(one.reason):
            break
        count += 1
    return count


def repeated_at(newest_first: Sequence[Trace]) -> int | None:
    """The global step of the last two failures if they are equal: same step, reason and fault. None otherwise.

    Applies only to failures that the same step causes again. Out of memory counts only on the same kind of device:
    another device may have more memory.
    """
    failed = [one for one in newest_first if one.failed][:2]
    if len(failed) < 2 or failed[0].reason not in (Reason.EXCEPTION, Reason.OUT_OF_MEMORY):
        return None
    last, before = failed
    alike = (last.reason, last.fault, last.at_step) == (before.reason, before.fault, before.at_step)
    known = last.fault is not None and last.at_step is not None
    elsewhere = last.reason == Reason.OUT_OF_MEMORY and last.device != before.device
    return last.at_step if alike and known and not elsewhere else None
