"""How the end of a session is parsed, and whether an attempt is worth starting before it."""

from __future__ import annotations

import logging
import math
import subprocess
import sys
import time

import pytest

from tests.support.gcs import until
from worker.preemption import deadline as deadline_module
from worker.preemption.deadline import (
    WATCH_SECONDS,
    Cost,
    Deadline,
    Pace,
    in_colab,
    process_started,
    read_deadline,
    watch_deadline,
)


@pytest.mark.parametrize(
    ("text", "seconds"), [("11h30m", 41_400.0), ("90", None), ("90s", 90.0), (" 1.5m ", 90.0), ("none", math.inf)]
)
def test_what_a_user_gives(text: str, seconds: float | None) -> None:
    if seconds is None:
        with pytest.raises(ValueError, match="must be a duration such as 30s, 5m or 11h30m, or none; not '90'"):
            read_deadline(text, {}, 1000.0, 25.0)
    else:
        assert read_deadline(text, {}, 1000.0, 25.0).ends_at == 1000.0 + seconds


def test_without_one_a_session_has_no_end() -> None:
    deadline = read_deadline("", {}, 1000.0, 25.0)
    assert (deadline.ends_at, deadline.left) == (math.inf, math.inf)


def test_colab_has_one(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    colab = {"COLAB_RELEASE_TAG": "release-colab_20260101"}
    assert in_colab(colab)
    assert not in_colab({})
    assert read_deadline(None, colab, 1000.0, 25.0).ends_at == 1000.0 + 11.5 * 3600
    assert "this is Colab: using --deadline 11h30m" in caplog.text
    assert read_deadline("1h", colab, 1000.0, 25.0).ends_at == 1000.0 + 3600
    assert read_deadline("none", colab, 1000.0, 25.0).ends_at == math.inf


def test_half_of_what_is_left_goes_into_training() -> None:
    deadline = Deadline("1h", time.monotonic() + 3600, grace=25.0)
    assert deadline.needed == 50.0
    deadline.warmed_up(10.0)
    assert deadline.needed == 70.0
    deadline.cost = Cost(startup=40.0, handover=60.0)
    deadline.warmed_up(10.0)  # the measured duration replaces the estimate
    assert deadline.needed == 200.0


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    monotonic = __call__

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_the_margin_grows_with_what_is_measured() -> None:
    clock = Clock()
    pace = Pace(Deadline("100s", 100.0, grace=5.0), clock)
    pace.boundary()
    assert (pace.margin, pace.over) == (5.0, False)
    clock.now = 8.0  # time for loading and compiling
    pace.boundary()
    pace.stepped()
    clock.now = 9.0
    pace.boundary()
    pace.stepped()
    assert pace.margin == 8.0
    pace.saved(0.5, 3.0)
    pace.saved(0.1, 1.0)
    assert pace.margin == 8.0 + 2 * 3.5
    assert pace.cost == Cost(startup=8.0, handover=15.0)
    clock.now = 84.9
    assert not pace.over
    clock.now = 85.0
    assert pace.over
    assert pace.left == 15.0


def test_without_a_deadline_nothing_is_ever_over() -> None:
    clock = Clock()
    pace = Pace(Deadline(), clock)
    clock.now = 1e9
    assert not pace.over


def test_the_watch_retires_the_worker_when_too_little_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    causes: list[str] = []
    watch_deadline(Deadline(grace=25.0), causes.append)
    assert causes == []
    clock = Clock()
    monkeypatch.setattr(deadline_module, "time", clock)
    watch_deadline(Deadline("1m", 60.0, grace=20.0), causes.append)
    until(lambda: bool(causes), 60, "the message that it is too late")
    assert causes == ["the session (--deadline 1m) has 40 s left, an attempt needs at least 40 s"]
    assert 20.0 < clock.now <= 20.0 + 2 * WATCH_SECONDS


@pytest.mark.process
def test_a_process_knows_when_it_was_started() -> None:
    code = (
        "import time; time.sleep(0.5); from worker.preemption.deadline import process_started; print(process_started())"
    )
    before = time.monotonic()
    started = float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout)
    assert before - 10 <= started < time.monotonic() - 0.5
    assert process_started() < before
