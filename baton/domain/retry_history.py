"""What a job's attempts so far say about trying again, as pure functions of how they ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from baton.domain.policies import Reason, is_outage

FORGIVEN_AFTER = 3600.0
"""Seconds of training in checkpoints with which an attempt makes the failures before it forgotten."""


@dataclass(frozen=True)
class Trace:
    """What is kept of an attempt that failed or got far. `covered_seconds`: of its training that are in checkpoints.

    `at_step`: where it failed, `fault`: what failed there; None unless both are known and it had begun to train.
    """

    reason: str | None
    failed: bool
    covered_seconds: float = 0.0
    at_step: int | None = None
    fault: str | None = None
    device: str | None = None


def failures_that_count(newest_first: Sequence[Trace]) -> int:
    """Failures since an attempt last made good progress: a failure once in hours differs from one at each try.

    An outage, such as an unavailable store, is not a failure: the job waits for its end.
    """
    count = 0
    for one in newest_first:
        count += one.failed and not (one.reason and is_outage(one.reason))
        if one.covered_seconds >= FORGIVEN_AFTER:
            break
    return count


def outages_in_a_row(newest_first: Sequence[Trace]) -> int:
    """How many of the newest attempts in a row ended in an outage (`is_outage`)."""
    count = 0
    for one in newest_first:
        if one.reason is None or not is_outage(one.reason):
            break
        count += 1
    return count


def repeated_at(newest_first: Sequence[Trace]) -> int | None:
    """The step at which the last two failures were the same, of those that the same step brings about again.

    Memory that runs out on one device may suffice on another.
    """
    failed = [one for one in newest_first if one.failed][:2]
    if len(failed) < 2 or failed[0].reason not in (Reason.EXCEPTION, Reason.OUT_OF_MEMORY):
        return None
    last, before = failed
    alike = (last.reason, last.fault, last.at_step) == (before.reason, before.fault, before.at_step)
    known = last.fault is not None and last.at_step is not None
    elsewhere = last.reason == Reason.OUT_OF_MEMORY and last.device != before.device
    return last.at_step if alike and known and not elsewhere else None
