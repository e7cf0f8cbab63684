"""The seconds of a job are divided into buckets: each second counts once, and the buckets add up to the whole."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.domain.goodput import MEASURED, Bucket, Life, Span, Stopwatch, attempt_seconds, job_seconds

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> Stopwatch:
    return Stopwatch(clock)


def some(watch: Stopwatch) -> dict[str, float]:
    return {name: seconds for name, seconds in watch.seconds().items() if seconds}


def test_nested_time_counts_once(watch: Stopwatch, clock: Clock) -> None:
    clock.now += 1
    with watch.measure(Bucket.TRAINING):
        clock.now += 2
        with watch.measure(Bucket.CHECKPOINT_STALL):
            clock.now += 4
        clock.now += 8
        with watch.measure(Bucket.TRAINING):
            clock.now += 16
    clock.now += 32
    assert some(watch) == {"other": 33, "training": 26, "checkpoint_stall": 4}


def test_what_is_under_way_is_read_too(watch: Stopwatch, clock: Clock) -> None:
    with watch.measure(Bucket.VALIDATION):
        clock.now += 3
        assert some(watch) == {"validation": 3}
        assert watch.lap() == 3
        with watch.measure(Bucket.CHECKPOINT_STALL):
            assert watch.lap() == 0


def test_an_exception_leaves_the_bucket(watch: Stopwatch, clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError), watch.measure(Bucket.RESTORE):
        raise ZeroDivisionError
    clock.now += 1
    assert some(watch) == {"other": 1}


def test_waiting_for_an_item_counts_apart_from_its_use(watch: Stopwatch, clock: Clock) -> None:
    def slow(count: int) -> list[int]:
        return [count]

    def items() -> object:
        for number in range(3):
            clock.now += 2
            yield slow(number)
        clock.now += 1

    with watch.measure(Bucket.TRAINING):
        for _ in watch.draw(items(), Bucket.DATA_LOADING):  # type: ignore[arg-type]
            clock.now += 10
    assert some(watch) == {"training": 30, "data_loading": 7}


def test_an_attempt_that_nobody_claimed_waits() -> None:
    seconds = attempt_seconds(Span(at(0), None, None, {}), at(7))
    assert {bucket: s for bucket, s in seconds.items() if s} == {Bucket.WAITING: 7}


def test_unreported_time_is_other_after_the_end_and_counts_for_the_current_phase_before() -> None:
    told = {"training": 5.0}
    ended = attempt_seconds(Span(at(0), at(1), at(11), told), at(99))
    assert (ended[Bucket.WAITING], ended[Bucket.TRAINING], ended[Bucket.OTHER]) == (1, 5, 5)
    live = attempt_seconds(Span(at(0), at(1), None, told, phase="validating"), at(11))
    assert (live[Bucket.TRAINING], live[Bucket.VALIDATION], live[Bucket.OTHER]) == (5, 5, 0)


@pytest.mark.parametrize(("covered", "training", "redone"), [(0, 0, 8), (5, 5, 3), (8, 8, 0), (9, 8, 0)])
def test_training_that_no_checkpoint_holds_is_to_be_redone(covered: float, training: float, redone: float) -> None:
    seconds = attempt_seconds(Span(at(0), at(0), at(10), {"training": 8.0}, covered, kept=False), at(99))
    assert (seconds[Bucket.TRAINING], seconds[Bucket.REDONE], seconds[Bucket.OTHER]) == (training, redone, 2)


def test_an_attempt_that_finished_its_job_lost_nothing() -> None:
    seconds = attempt_seconds(Span(at(0), at(0), at(10), {"training": 8.0}), at(99))
    assert (seconds[Bucket.TRAINING], seconds[Bucket.REDONE]) == (8, 0)


def test_a_fast_clock_of_a_worker_makes_no_time() -> None:
    seconds = attempt_seconds(Span(at(0), at(0), at(10), {"training": 15.0, "validation": 5.0}), at(99))
    assert (seconds[Bucket.TRAINING], seconds[Bucket.VALIDATION], seconds[Bucket.OTHER]) == (7.5, 2.5, 0)


@pytest.mark.parametrize("name", ["sleeping", "redone", "waiting", "recovery", "paused"])
def test_a_bucket_that_is_not_the_workers_is_other(name: str) -> None:
    assert attempt_seconds(Span(at(0), at(0), at(10), {name: 4.0}), at(99))[Bucket.OTHER] == 10


def test_the_goodput_of_a_job() -> None:
    spans = [
        Span(at(0), at(10), at(40), {"startup": 5.0, "training": 20.0}, covered=15.0, kept=False),
        Span(at(100), at(110), at(150), {"training": 30.0, "validation": 6.0, "evaluation": 4.0}),
    ]
    seconds = job_seconds(Life(at(0), at(150), paused=60.0), spans, at(500))
    assert {name: s for name, s in seconds.items() if s} == {
        "waiting": 20, "startup": 5, "training": 45, "validation": 6, "evaluation": 4, "redone": 5, "other": 5,
        "paused": 60, "total": 150, "goodput": pytest.approx(55 / 70),
    }  # fmt: skip


def test_waiting_for_a_first_worker_is_no_loss_and_a_gap_after_an_interruption_is() -> None:
    spans = [
        Span(at(0), at(100), at(140), {"training": 40.0}, covered=40.0, kept=False),
        Span(at(140), at(150), at(200), {"training": 50.0}, recovers=True),
    ]
    seconds = job_seconds(Life(at(0), at(200)), spans, at(500))
    assert (seconds["waiting"], seconds["recovery"], seconds["total"]) == (100, 10, 200)
    assert seconds["goodput"] == pytest.approx(90 / 100)
    assert attempt_seconds(spans[1], at(500))[Bucket.RECOVERY] == 10


def test_a_job_that_nobody_gave_an_attempt_waits_or_recovers() -> None:
    lost = [Span(at(0), at(0), at(10), {"training": 10.0}, covered=10.0, kept=False)]
    assert job_seconds(Life(at(0), None), [], at(5))["waiting"] == 5
    assert job_seconds(Life(at(0), None, recovers=True), lost, at(15))["recovery"] == 5


def test_a_pause_that_lasts_counts_until_now() -> None:
    seconds = job_seconds(Life(at(0), None, 5.0, at(20)), [Span(at(0), None, at(15), {})], at(50))
    assert (seconds["waiting"], seconds["paused"], seconds["total"], seconds["goodput"]) == (15, 35, 50, 0)


def test_a_job_of_no_time_has_no_goodput() -> None:
    assert job_seconds(Life(at(0), at(0)), [], at(0))["goodput"] == 0


@st.composite
def lives(draw: Callable[..., object]) -> tuple[Life, list[Span], datetime]:
    """Draw a job: attempts one after the other, pauses between them, and workers that report any durations."""
    length = st.floats(0, 1e5)
    moment, paused, spans = 0.0, 0.0, []
    told = st.dictionaries(st.sampled_from([*MEASURED, "odd"]), st.floats(0, 2e5))
    for _ in range(draw(st.integers(0, 5))):  # type: ignore[call-overload]
        claimed = moment + draw(length)  # type: ignore[operator]
        ended = claimed + draw(length)
        spans.append(
            Span(
                at(moment),
                at(claimed),
                at(ended),
                draw(told),
                draw(length),
                draw(st.booleans()),
                recovers=draw(st.booleans()),
            )
        )  # type: ignore[arg-type]
        pause = draw(length)
        moment, paused = ended + pause, paused + pause  # type: ignore[operator]
    return Life(at(0), at(moment), paused), spans, at(moment)


@settings(deadline=None)
@given(lives())
def test_the_buckets_add_up_whatever_workers_tell(drawn: tuple[Life, list[Span], datetime]) -> None:
    life, spans, now = drawn
    seconds = job_seconds(life, spans, now)
    assert min(seconds.values()) >= 0
    assert seconds["goodput"] <= 1
    assert sum(seconds[bucket] for bucket in Bucket) == pytest.approx(seconds["total"], abs=1e-3)
    for span in spans:
        held = ((span.finished_at or now) - span.created_at).total_seconds()
        assert sum(attempt_seconds(span, now).values()) == pytest.approx(held, abs=1e-3)
