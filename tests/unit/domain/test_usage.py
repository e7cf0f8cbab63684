"""The days of an attempt add up to the attempt, to the last millionth of a currency unit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from baton.domain.goodput import Bucket
from baton.domain.prices import Prices, amount, cost, gpus_of, micro, parse_prices
from baton.domain.usage import parts

BEGUN = datetime(2026, 11, 29, 22, 15, tzinfo=UTC)
SECONDS = st.floats(0, 400_000)


@given(
    us=st.integers(0, 40 * 86_400 * 10**6),
    hourly=st.none() | st.integers(0, 10**12),
    trained=SECONDS,
    redone=SECONDS,
)
def test_the_days_add_up(us: int, hourly: int | None, trained: float, redone: float) -> None:
    ended = BEGUN + timedelta(microseconds=us)
    found = parts(BEGUN, ended, {Bucket.TRAINING: trained, Bucket.REDONE: redone}, hourly)
    assert sum(part.us for part in found) == us
    assert [part.day for part in found] == sorted({part.day for part in found})
    for part in found:
        assert min(part.trained_us, part.redone_us) >= 0
        # Each is rounded by itself.
        assert part.trained_us + part.redone_us - 1 <= part.us <= 86_400 * 10**6
        if hourly is None:
            assert part.cost is part.trained_cost is part.redone_cost is None
        else:
            assert 0 <= (part.trained_cost or 0) + (part.redone_cost or 0) <= (part.cost or 0) + 1
    if hourly is not None:
        assert sum(part.cost or 0 for part in found) == cost(hourly, us)


def test_a_day_ends_at_midnight_in_utc() -> None:
    found = parts(BEGUN, BEGUN + timedelta(days=2), {}, micro(2.5))
    assert [(f"{part.day}", part.us // 60_000_000, amount(part.cost or 0)) for part in found] == [
        ("2026-11-29", 105, "4.375000"),
        ("2026-11-30", 1440, "60.000000"),
        ("2026-12-01", 1335, "55.625000"),
    ]
    assert parts(BEGUN, BEGUN - timedelta(hours=1), {}, None) == []  # the clock was set back


def test_the_first_pattern_that_matches_is_the_price() -> None:
    prices = parse_prices("NVIDIA H100*=2.50,\n *T4 = 0.35, cpu=0.02, *=9")
    devices = ["nvidia h100 80gb", "Tesla T4, Tesla T4", "cpu", "", "TPU v5"]
    assert [prices.of(device) for device in devices] == [2_500_000, 700_000, 20_000, 20_000, 9_000_000]
    assert [gpus_of(device) for device in devices] == [1, 2, 0, 0, 1]
    some = parse_prices("*T4=0.35")
    assert some.of("Tesla T4, NVIDIA H100") is None
    assert not Prices()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("T4", "has 'T4', which is not DEVICE=PRICE"),
        ("=2", "has '=2', which is not DEVICE=PRICE"),
        ("T4=free", "has the price 'free' of 'T4', which is not a number from 0 to 1000000"),
        ("T4=-1", "has the price '-1' of 'T4', which is not a number from 0 to 1000000"),
        ("T4=1000001", "has the price '1000001' of 'T4', which is not a number from 0 to 1000000"),
        ("T4=0.1234567", "has the price '0.1234567' of 'T4', which is not a number from 0 to 1000000"),
        ("T4=1,t4=2", "has 't4' twice"),
    ],
)
def test_wrong_prices_are_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_prices(text)
    assert str(error.value) == message
