"""What follows from the attempts so far: which failures count, and which are repetitions."""

from __future__ import annotations

from dataclasses import replace

import pytest

from baton.domain.reasons import Reason
from baton.domain.retry_history import (
    FORGIVEN_AFTER,
    Trace,
    failures_that_count,
    outages_in_a_row,
    repeated_at,
)
from baton.domain.retry_policy import (
    MAX_OUTAGE_BACKOFF,
    EndedAttempt,
    GiveUp,
    TryAgain,
    after_attempt,
)
from baton.domain.spec import RetrySpec

FAILED = Trace(Reason.EXCEPTION, failed=True, at_step=120, fault="builtins.ValueError in order.py:7 f", device="cpu")
FAR = Trace(Reason.PREEMPTED, failed=False, covered_seconds=FORGIVEN_AFTER)
AWAY = Trace(Reason.STORE_UNAVAILABLE, failed=True)
KILLED = Trace(Reason.PROCESS_DIED, failed=True)


@pytest.mark.parametrize(
    ("newest_first", "count"),
    [
        ([], 0),
        ([FAILED], 1),
        ([FAILED, KILLED, FAILED], 3),
        ([FAILED, FAR, FAILED, FAILED], 1),
        # The attempt made enough progress before it failed.
        ([replace(FAILED, covered_seconds=FORGIVEN_AFTER), FAILED], 1),
        ([replace(FAILED, covered_seconds=FORGIVEN_AFTER - 1), FAILED], 2),
        ([FAILED, AWAY, AWAY, FAILED], 2),
        ([AWAY], 0),
    ],
)
def test_failures_that_count(newest_first: list[Trace], count: int) -> None:
    assert failures_that_count(newest_first) == count


def test_outages_in_a_row() -> None:
    assert outages_in_a_row([AWAY, AWAY, FAILED, AWAY]) == 2
    assert outages_in_a_row([FAILED, AWAY]) == 0


@pytest.mark.parametrize(
    ("last", "before", "step"),
    [
        (FAILED, FAILED, 120),
        (replace(FAILED, at_step=0), replace(FAILED, at_step=0), 0),
        (FAILED, replace(FAILED, at_step=119), None),
        (FAILED, replace(FAILED, fault="builtins.ValueError in order.py:8 f"), None),
        (FAILED, replace(FAILED, reason=Reason.OUT_OF_MEMORY), None),
        (FAILED, replace(FAILED, device="gpu"), 120),
        (replace(FAILED, at_step=None), replace(FAILED, at_step=None), None),
        (replace(FAILED, fault=None), replace(FAILED, fault=None), None),
        (replace(FAILED, reason=Reason.OUT_OF_MEMORY), replace(FAILED, reason=Reason.OUT_OF_MEMORY), 120),
        (
            replace(FAILED, reason=Reason.OUT_OF_MEMORY),
            replace(FAILED, reason=Reason.OUT_OF_MEMORY, device="gpu"),
            None,
        ),
        (replace(FAILED, reason=Reason.DISK_FULL), replace(FAILED, reason=Reason.DISK_FULL), None),
        (FAILED, KILLED, None),
        (KILLED, KILLED, None),
    ],
)
def test_failures_that_repeat(last: Trace, before: Trace, step: int | None) -> None:
    assert repeated_at([last, before]) == step
    assert repeated_at([last, FAR, before]) == step  # a preempted attempt in between changes nothing
    assert repeated_at([last]) is None


def test_a_failure_that_repeats_ends_the_job_whatever_the_budget() -> None:
    ended = EndedAttempt(Reason.EXCEPTION, "Traceback\nValueError: x", 2, 0, repeated_at=120)
    verdict = after_attempt(ended, RetrySpec(max_failures=1000), 0.5)
    assert isinstance(verdict, GiveUp)
    assert verdict.reason is Reason.DETERMINISTIC_FAILURE
    assert "step 120" in verdict.message
    assert verdict.message.endswith("ValueError: x")


@pytest.mark.parametrize("outages", [1, 3, 40, 4000])
def test_a_store_that_is_away_is_waited_for_without_end(outages: int) -> None:
    retry = RetrySpec.model_validate({"max_failures": 0, "max_attempts_without_progress": 1, "backoff": "30s"})
    ended = EndedAttempt(Reason.STORE_UNAVAILABLE, "away", 0, 0, outages=outages)
    verdict = after_attempt(ended, retry, 0.9)
    assert isinstance(verdict, TryAgain)
    assert 15 <= verdict.after <= MAX_OUTAGE_BACKOFF
