"""The supervisor ends a training process. The process is real and waits for an attempt."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

import worker.supervisor.process
from baton.domain.wire import Outcome
from tests.support.gcs import until
from worker.ipc.progress import Seen
from worker.supervisor.process import Held, TrainingProcess
from worker.supervisor.stall_enforcement import StallEnforcement

pytestmark = pytest.mark.process

HELD = Held(attempt_id="a" * 32, fence=3, job_id="b" * 32, attempt=1)


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> Iterator[TrainingProcess]:
    monkeypatch.setenv("BATON_TOKEN", "t")
    monkeypatch.setenv("BATON_STORE", "file:///tmp")
    made = TrainingProcess("tests.support.fake_process")
    until(lambda: made.wait(0.1) or made.ready, 60, "the process to be warm")
    assert made.ready
    yield made
    made.abandoned = False
    made.close()


def says(training: TrainingProcess, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    """Set the progress that the process reports from now on."""
    usual = {"advances": 1, "limit": 1.0, "end_by": math.inf, "cancelled": False, "doing": "training at step 7"}
    said: dict[str, Any] = vars(training).setdefault("said", usual)
    said.update(changes)
    monkeypatch.setattr(training, "progress", lambda: Seen(**said))


def looked(guard: StallEnforcement) -> StallEnforcement:
    """Look until the process was ended, and return the enforcement."""

    def ended() -> bool:
        guard.look()
        return guard.ended_it

    until(ended, 60, "the process to be ended")
    return guard


def test_a_stall_is_told_with_its_place(training: TrainingProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    says(training, monkeypatch)
    guard = looked(StallEnforcement(training))
    assert not training.alive
    words = guard.final_message(HELD)
    assert words is not None
    assert (words.fence, words.outcome, words.reason) == (3, Outcome.FAILED, "stalled")
    assert words.message.startswith("no progress for ")
    assert "while training at step 7, in " in words.message  # the function in which the process waits for orders


def test_a_process_that_goes_on_while_its_stacks_are_written_lives(
    training: TrainingProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(training, monkeypatch)
    written = []

    def write_stacks() -> str:
        written.append(True)
        says(training, monkeypatch, advances=2)
        return ""

    monkeypatch.setattr(training, "write_stacks", write_stacks)
    guard = StallEnforcement(training)
    until(lambda: guard.look() or written, 60, "the stall")
    assert training.alive
    assert not guard.ended_it


@pytest.mark.parametrize("cancelled", [True, False])
def test_a_process_that_was_to_have_ended_is_killed(
    training: TrainingProcess, monkeypatch: pytest.MonkeyPatch, cancelled: bool
) -> None:
    says(training, monkeypatch, limit=900.0, end_by=time.monotonic(), cancelled=cancelled)
    words = looked(StallEnforcement(training)).final_message(HELD)
    assert not training.alive
    # If the lease is lost, the attempt belongs to another worker: nothing is reported about it.
    assert (words and words.outcome) == (Outcome.CANCELLED if cancelled else None)


def test_a_process_that_the_kernel_does_not_let_go_is_left_behind(
    training: TrainingProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(worker.supervisor.process, "KILL_SECONDS", 0.1)
    real = training._process.kill
    monkeypatch.setattr(training._process, "kill", lambda: None)  # simulate a process in an uninterruptible sleep
    training.kill()
    assert training.abandoned
    assert "it occupies its memory and its GPU until it ends" in caplog.text
    training.kill()  # the second call does not wait again
    monkeypatch.setattr(training._process, "kill", real)
    training._process.send_signal(signal.SIGKILL)
