"""The lease: a thread renews it, and only a response of the service ends it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from baton.domain.errors import LeaseLost
from baton.domain.wire import Beat, Directive, Grant, Heartbeat, Phase
from worker.api_client.client import ServiceUnavailable
from worker.attempt import lease as lease_module
from worker.attempt.lease import MAX_UNANSWERED_LEASES, Lease

DEADLINE = 60.0


class Service:
    """Sends prepared responses to heartbeats, and counts them."""

    def __init__(self, answer: Callable[[int], Beat]) -> None:
        self._answer = answer
        self.beats: list[Heartbeat] = []
        self.changed = threading.Condition()

    def heartbeat(self, attempt_id: str, beat: Heartbeat) -> Beat:
        with self.changed:
            self.beats.append(beat)
            self.changed.notify_all()
        return self._answer(len(self.beats))

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, DEADLINE)


def grant() -> Grant:
    return Grant(
        attempt_id="a",
        job_id="j",
        attempt=1,
        fence=3,
        lease_seconds=30,
        heartbeat_seconds=0.01,
        spec={},
        checkpoints=(),
        seconds_between_interruptions=3600,
    )


def lease_on(service: Service) -> Lease:
    return Lease(service, grant())  # type: ignore[arg-type] # the one call that a lease makes


def go_on(_n: int) -> Beat:
    return Beat(directive=Directive.CONTINUE, lease_seconds=1)


def test_beats_with_the_fence_and_tells_a_new_phase_at_once() -> None:
    service = Service(go_on)
    with lease_on(service) as lease:
        lease.tell(Phase.TRAINING)
        service.wait_for(lambda: any(b.phase is Phase.TRAINING for b in service.beats))
        lease.check()
    assert {b.fence for b in service.beats} == {3}


def test_a_service_that_is_away_ends_nothing() -> None:
    def away_then_back(n: int) -> Beat:
        if n < 4:
            raise ServiceUnavailable("away")
        return Beat(directive=Directive.PAUSE, lease_seconds=1)

    service = Service(away_then_back)
    with lease_on(service) as lease:
        service.wait_for(lambda: len(service.beats) >= 5)
        lease.check()
        assert lease.directive is Directive.PAUSE


def test_a_service_that_stays_away_ends_the_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each call takes more than half of the longest time without an answer. That time begins at the last answer."""
    now = 0.0

    def answers_twice(n: int) -> Beat:
        nonlocal now
        now += 0.6 * MAX_UNANSWERED_LEASES * grant().lease_seconds
        if n > 2:
            raise ServiceUnavailable("away")
        return go_on(n)

    monkeypatch.setattr(lease_module, "time", SimpleNamespace(monotonic=lambda: now))
    service = Service(answers_twice)
    with lease_on(service) as lease:
        lease._thread.join(DEADLINE)
        with pytest.raises(LeaseLost, match="has not answered for too long"):
            lease.check()
    assert len(service.beats) == 4


def test_a_response_of_the_service_ends_the_lease() -> None:
    def refuse(_n: int) -> Beat:
        raise LeaseLost("fence 4 has it")

    service = Service(refuse)
    with lease_on(service) as lease:
        lease._thread.join(DEADLINE)
        with pytest.raises(LeaseLost, match="fence 4"):
            lease.check()
    assert len(service.beats) == 1


def test_the_first_words_on_a_phase_are_told_at_once_and_go_with_it() -> None:
    service = Service(go_on)
    slow = grant().model_copy(update={"heartbeat_seconds": 3600.0})
    with Lease(service, slow) as lease:  # type: ignore[arg-type] # the one call that a lease makes
        lease.tell(Phase.LOADING)
        service.wait_for(lambda: any(b.phase is Phase.LOADING for b in service.beats))
        lease.tell(Phase.LOADING, doing="decoding: 1 of 9")
        service.wait_for(lambda: any(b.doing == "decoding: 1 of 9" for b in service.beats))
        lease.tell(Phase.TRAINING)
        service.wait_for(lambda: service.beats[-1].phase is Phase.TRAINING and service.beats[-1].doing is None)
