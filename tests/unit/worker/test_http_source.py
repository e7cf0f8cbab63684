"""How a polling worker handles responses of a faulty service: it sends no flood of requests and does not give up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import cast

import pytest

from baton.domain.wire import NextRequest, Offer, WorkerInfo
from worker.api_client.client import Refused, ServiceClient, ServiceUnavailable
from worker.retry import FIRST_WAIT, LONGEST_WAIT, Backoff
from worker.supervisor import http_source
from worker.supervisor.http_source import PollingWorker
from worker.supervisor.liveness import LivenessFile
from worker.supervisor.supervisor import Supervisor, no_wait

REQUEST = NextRequest(worker=WorkerInfo(name="w", host="h", pid=1, version="0"), wait_seconds=25)
NOTHING = Offer(attempt_id=None)


class FakeSeat:
    """Trains every attempt except one named "taken"."""

    def __init__(self) -> None:
        self.stopping, self.warm, self.device = False, True, "cpu"
        self.trained: list[str] = []
        self.end_wait = no_wait
        self.liveness, self.store = LivenessFile(), None

    def await_rest(self) -> bool:
        return not self.stopping

    def await_store(self) -> bool:
        return not self.stopping

    def await_device(self) -> bool:
        return not self.stopping

    def await_warm(self) -> bool:
        return self.warm

    def taken(self) -> AbstractContextManager[None]:
        return nullcontext()

    def train(self, attempt_id: str) -> bool:
        self.trained.append(attempt_id)
        return attempt_id != "taken"

    def stop(self, _cause: str) -> None:
        self.stopping = True


class Script:
    """A service that sends prepared responses in order, and ends the worker after the last one."""

    def __init__(self, supervisor: FakeSeat, *answers: Offer | Exception) -> None:
        self.supervisor, self.answers = supervisor, list(answers)
        self.asked = 0

    def next_attempt(self, request: NextRequest) -> Offer:
        assert request == REQUEST
        self.asked += 1
        if not self.answers:
            self.supervisor.end_wait()
            return NOTHING
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The upper limits of all pauses. The pauses themselves are skipped."""
    drawn: list[float] = []
    draw = Backoff.draw

    def recorded(self: Backoff) -> float:
        drawn.append(self.longest)
        draw(self)
        return 0.001

    monkeypatch.setattr(Backoff, "draw", recorded)
    return drawn


def worker(supervisor: FakeSeat, *answers: Offer | Exception) -> tuple[PollingWorker, Script]:
    script = Script(supervisor, *answers)
    return PollingWorker(cast("ServiceClient", script), cast("Supervisor", supervisor), REQUEST), script


def offer(name: str) -> Offer:
    return Offer(attempt_id=name)


def test_with_once_only_a_trained_attempt_counts(pauses: list[float]) -> None:
    supervisor = FakeSeat()
    polling, script = worker(supervisor, NOTHING, offer("taken"), offer("ours"), offer("more"))
    polling.work(once=True)
    assert (supervisor.trained, script.asked) == (["taken", "ours"], 3)


def test_a_service_that_does_not_wait_is_not_flooded(pauses: list[float]) -> None:
    polling, _ = worker(FakeSeat(), *[NOTHING] * 8)
    polling.work(once=False)
    assert pauses[:8] == [min(FIRST_WAIT * 2**n, LONGEST_WAIT) for n in range(8)]


def test_an_empty_answer_after_a_long_wait_is_followed_by_the_next_question(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_source, "PROMPT_SECONDS", 0.0)
    polling, script = worker(FakeSeat(), *[NOTHING] * 5)
    polling.work(once=False)
    assert (pauses, script.asked) == ([], 6)


def test_lost_claims_slow_it_down_until_one_is_won(pauses: list[float]) -> None:
    supervisor = FakeSeat()
    polling, _ = worker(supervisor, *[offer("taken")] * 3, offer("ours"), offer("taken"))
    polling.work(once=False)
    assert pauses[:4] == [0.2, 0.4, 0.8, 0.2]
    assert supervisor.trained == ["taken", "taken", "taken", "ours", "taken"]


def test_a_service_that_is_away_is_asked_again(pauses: list[float]) -> None:
    supervisor = FakeSeat()
    polling, script = worker(supervisor, *[ServiceUnavailable("away")] * 4, offer("ours"))
    polling.work(once=True)
    assert (supervisor.trained, script.asked, pauses) == (["ours"], 5, [0.2, 0.4, 0.8, 1.6])


def test_a_refusal_is_final() -> None:
    polling, script = worker(FakeSeat(), Refused(403, "forbidden", "not you"), offer("ours"))
    with pytest.raises(Refused, match="403"):
        polling.work(once=False)
    assert script.asked == 1


def test_nothing_is_taken_before_the_training_process_is_warm(pauses: list[float]) -> None:
    supervisor = FakeSeat()
    supervisor.warm = False
    polling, script = worker(supervisor, offer("ours"))
    log: list[str] = []

    def warm_at_last() -> bool:
        log.append("asked")
        supervisor.warm = len(log) > 2
        return supervisor.warm

    supervisor.await_warm = warm_at_last  # type: ignore[method-assign]
    polling.work(once=True)
    assert (pauses, script.asked) == ([0.2, 0.4], 1)


def test_asked_to_end_it_does_not_wait_for_an_answer() -> None:
    supervisor, never = FakeSeat(), threading.Event()

    class Thinking(Script):
        def next_attempt(self, request: NextRequest) -> Offer:
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            never.wait()
            raise AssertionError("the test is over")

    polling = PollingWorker(cast("ServiceClient", Thinking(supervisor)), cast("Supervisor", supervisor), REQUEST)
    polling.work(once=False)
    assert supervisor.stopping


def test_a_second_signal_ends_it_without_a_hand_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_source, "REPEATED_SIGNAL_SECONDS", 0.0)
    killed: list[bool] = []

    class Stubborn(FakeSeat):
        def train(self, attempt_id: str) -> bool:
            for _ in range(2):
                signal.raise_signal(signal.SIGTERM)
            raise AssertionError("the second signal did not end the worker")

        def kill(self) -> None:
            killed.append(self.stopping)

    polling, _ = worker(Stubborn(), offer("ours"))
    with pytest.raises(SystemExit):
        polling.work(once=False)
    assert killed == [True]
