"""The interval between checkpoints that a cadence gives, and when a checkpoint is overdue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from baton.domain.checkpoint_cadence import (
    MAX_INTERVAL,
    MIN_INTERVAL,
    Since,
    checkpoint_due,
    checkpoint_overdue,
    interval_seconds,
    young_daly,
)
from baton.domain.spec import JobSpec, parse_spec

SINCE = Since(steps=10, seconds=20.0, stall_seconds=0.5, save_seconds=1.0, between_interruptions=3600.0)


def spec(every: Any) -> JobSpec:
    stages = [{"epochs": 1}]
    found: JobSpec = parse_spec(
        {
            "name": "x",
            "network": {"name": "network-2"},
            "dataset": {"name": "digits"},
            "stages": stages,
            "checkpoint": {"every": every},
        }
    )
    return found


def test_young_daly_is_their_formula_within_bounds() -> None:
    assert young_daly(0.5, 3600) == 60.0
    assert young_daly(0.0, 3600) == MIN_INTERVAL == 15
    assert young_daly(1000.0, 1e9) == MAX_INTERVAL == 1800


@pytest.mark.parametrize(
    ("every", "change", "expected"),
    [
        ("auto", {}, 60.0),
        ("auto", {"stall_seconds": 0.0}, 15.0),
        ("auto", {"save_seconds": 45.0}, 90.0),  # at least twice the duration of the previous save
        ("auto", {"stall_seconds": 1000.0, "between_interruptions": 1e9}, 1800.0),
        ("auto", {"save_seconds": 1000.0}, 2000.0),
        ("5s", {"save_seconds": 1000.0}, 5.0),  # the owner's interval is kept
        ("30 steps", {}, 60.0),
        ("30 steps", {"steps": 0}, None),
    ],
)
def test_the_interval(every: str, change: dict[str, Any], expected: float | None) -> None:
    assert interval_seconds(spec(every), replace(SINCE, **change)) == expected


def test_an_absurd_number_of_steps_does_no_harm() -> None:
    interval = interval_seconds(spec(f"1{'0' * 400} steps"), SINCE)
    assert interval is not None
    assert not checkpoint_overdue(1e6, interval)


@pytest.mark.parametrize(
    ("every", "change", "due"),
    [
        ("auto", {"seconds": 59.9}, False),
        ("auto", {"seconds": 60.0}, True),
        ("5s", {"seconds": 5.0}, True),
        ("5s", {"seconds": 4.9}, False),
        ("10 steps", {}, True),
        ("10 steps", {"steps": 9, "seconds": 1e6}, False),
    ],
)
def test_when_a_save_is_due(every: str, change: dict[str, Any], due: bool) -> None:
    assert checkpoint_due(spec(every), replace(SINCE, **change)) is due


@pytest.mark.parametrize(
    ("age", "interval", "overdue"),
    [(59, 1, False), (60, 1, False), (61, 1, True), (180, 60, False), (181, 60, True), (1e9, None, False)],
)
def test_when_a_checkpoint_is_overdue(age: float, interval: float | None, overdue: bool) -> None:
    assert checkpoint_overdue(age, interval) is overdue
