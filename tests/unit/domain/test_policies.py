"""Policies: when to save, when to retry, when to give up. These tests do not wait."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.domain.checkpoint_cadence import seconds_between_interruptions, young_daly
from baton.domain.reasons import Category, Reason, category
from baton.domain.retry_policy import (
    MAX_BACKOFF,
    MAX_RESTORE_FAILURES,
    EndedAttempt,
    GiveUp,
    TryAgain,
    after_attempt,
    backoff_seconds,
    counts_as_restore_failure,
)
from baton.domain.spec import RetrySpec

RETRY = RetrySpec.model_validate({"max_failures": 2, "max_attempts_without_progress": 4, "backoff": "10s"})


def after(reason: Reason, failures: int = 1, without_progress: int = 0) -> TryAgain | GiveUp:
    return after_attempt(EndedAttempt(reason, "words", failures, without_progress), RETRY, draw=0.5)


def test_a_users_error_is_not_tried_again() -> None:
    assert after(Reason.BAD_DATA) == GiveUp(Reason.BAD_DATA, "words")


def test_a_preemption_costs_no_failure() -> None:
    assert after(Reason.PREEMPTED, failures=99) == TryAgain(0.0)
    assert after(Reason.LEASE_EXPIRED, failures=99) == TryAgain(0.0)


def test_failures_are_tried_again_until_the_budget_is_spent() -> None:
    assert isinstance(after(Reason.EXCEPTION, failures=2), TryAgain)
    verdict = after(Reason.EXCEPTION, failures=3)
    assert isinstance(verdict, GiveUp)
    assert verdict.reason is Reason.TOO_MANY_FAILURES
    assert "words" in verdict.message


def test_a_crash_loop_without_progress_ends() -> None:
    assert after(Reason.PREEMPTED, without_progress=3) == TryAgain(0.0)
    verdict = after(Reason.PREEMPTED, without_progress=4)
    assert isinstance(verdict, GiveUp)
    assert verdict.reason is Reason.NO_PROGRESS


@settings(deadline=None)
@given(st.integers(1, 10_000), st.floats(0, 0.999))
def test_backoff_doubles_within_bounds(failures: int, draw: float) -> None:
    seconds = backoff_seconds(10, failures, draw)
    ceiling = min(10 * 2.0 ** min(failures - 1, 30), MAX_BACKOFF)
    assert ceiling / 2 <= seconds <= ceiling


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_a_category(reason: Reason) -> None:
    assert category(reason) in Category


def test_young_daly() -> None:
    assert young_daly(2.0, 3600) == pytest.approx(math.sqrt(2 * 2 * 3600))
    assert young_daly(1e-6, 60) == 15
    assert young_daly(600, 1e6) == 1800


def test_interruptions_shorten_the_time_between_them() -> None:
    assert seconds_between_interruptions(0, 0) == 3600
    assert seconds_between_interruptions(600, 9) == pytest.approx(420)


def ended(reason: Reason, restore_failures: int, failures: int = 1) -> EndedAttempt:
    return EndedAttempt(reason, "it died", failures, 1, restore_failures)


def test_restores_that_fail_in_a_row_end_the_job_with_words_on_what_to_do() -> None:
    retry = RetrySpec(max_failures=100)
    assert isinstance(after_attempt(ended(Reason.PROCESS_DIED, MAX_RESTORE_FAILURES - 1), retry, 0.5), TryAgain)
    verdict = after_attempt(ended(Reason.PROCESS_DIED, MAX_RESTORE_FAILURES), retry, 0.5)
    assert isinstance(verdict, GiveUp)
    assert verdict.reason is Reason.RESTORE_FAILED
    assert "it died" in verdict.message
    assert "submit the job again" in verdict.message


def test_a_worker_with_another_store_counts_as_a_failure() -> None:
    assert isinstance(after_attempt(ended(Reason.WRONG_STORE, 0), RetrySpec(max_failures=100), 0.5), TryAgain)
    again = EndedAttempt(Reason.WRONG_STORE, "not the same store", failures=2, without_progress=1)
    verdict = after_attempt(again, RetrySpec(max_failures=1), 0.5)
    assert isinstance(verdict, GiveUp)
    assert "not the same store" in verdict.message


def test_what_says_nothing_about_the_checkpoints_does_not_count() -> None:
    silent = {reason for reason in Reason if not counts_as_restore_failure(reason)}
    absent = {Reason.STORE_UNAVAILABLE, Reason.DATA_CHANGED, Reason.WRONG_STORE, Reason.WORKER_TOO_OLD}
    assert silent == {Reason.PREEMPTED, Reason.PAUSED, Reason.CANCELLED, *absent}
