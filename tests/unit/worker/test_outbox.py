"""The outbox: in order, one at a time, patient with what is away, silent about what is superseded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from baton.domain.errors import JobFailure, LeaseLost
from baton.domain.policies import Reason
from baton.storage import StoreFull
from worker.api_client.client import ServiceUnavailable
from worker.attempt import store_troubles
from worker.attempt.store_troubles import Troubles
from worker.checkpointing.upload_queue import Outbox, Parcel

DEADLINE = 10.0


class Gate:
    """Holds the outbox at its first parcel until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.opened.wait(DEADLINE)


@pytest.fixture
def lost() -> list[str]:
    return []


@pytest.fixture
def outbox(lost: list[str]) -> Iterator[Outbox]:
    box = Outbox(check=lambda: None, lose=lost.append)
    yield box
    box.close()


def closed_gate(outbox: Outbox) -> Gate:
    gate = Gate()
    outbox.put(Parcel(gate))
    assert gate.reached.wait(DEADLINE)
    return gate


def recorder(sent: list[str], name: str) -> Callable[[], None]:
    return lambda: sent.append(name)


def test_sends_in_order(outbox: Outbox) -> None:
    sent: list[str] = []
    for name in "abc":
        outbox.put(Parcel(recorder(sent, name)))
    assert outbox.flush(seconds=DEADLINE)
    assert sent == ["a", "b", "c"]


def test_a_newer_checkpoint_takes_the_place_of_a_waiting_one_whose_roles_it_has(outbox: Outbox) -> None:
    sent: list[str] = []
    gate = closed_gate(outbox)
    outbox.put(Parcel(recorder(sent, "best"), frozenset({"latest", "best"})))
    outbox.put(Parcel(recorder(sent, "old"), frozenset({"latest"})))
    outbox.put(Parcel(recorder(sent, "row")))
    outbox.put(Parcel(recorder(sent, "new"), frozenset({"latest"})))
    gate.opened.set()
    assert outbox.flush(seconds=DEADLINE)
    assert sent == ["best", "new", "row"]


def test_what_is_being_sent_is_never_replaced(outbox: Outbox) -> None:
    gate, sent = Gate(), []
    outbox.put(Parcel(gate, frozenset({"latest"})))
    assert gate.reached.wait(DEADLINE)
    outbox.put(Parcel(lambda: sent.append("new"), frozenset({"latest"})))
    gate.opened.set()
    assert outbox.flush(seconds=DEADLINE)
    assert sent == ["new"]


def test_flush_says_when_time_is_up(outbox: Outbox) -> None:
    gate = closed_gate(outbox)
    assert not outbox.flush(seconds=0.01)
    gate.opened.set()


def test_what_is_away_is_tried_again(outbox: Outbox) -> None:
    answers = iter([ServiceUnavailable("away"), ServiceUnavailable("away"), None])
    sent: list[str] = []

    def send() -> None:
        if (answer := next(answers)) is not None:
            raise answer
        sent.append("at last")

    outbox.put(Parcel(send))
    assert outbox.flush(seconds=DEADLINE)
    assert sent == ["at last"]


def test_a_lost_lease_ends_everything(outbox: Outbox, lost: list[str]) -> None:
    def send() -> None:
        raise LeaseLost("another has it")

    outbox.put(Parcel(send))
    with pytest.raises(LeaseLost):
        outbox.flush(seconds=DEADLINE)
    assert lost == ["another has it"]
    with pytest.raises(LeaseLost):
        outbox.put(Parcel(lambda: None))


def test_an_error_in_the_background_is_raised_in_the_loop(outbox: Outbox) -> None:
    def send() -> None:
        raise ZeroDivisionError

    outbox.put(Parcel(send))
    with pytest.raises(ZeroDivisionError):
        outbox.flush(seconds=DEADLINE)


def test_nothing_is_sent_after_a_failure(outbox: Outbox) -> None:
    sent: list[str] = []
    gate = Gate()

    def fail() -> None:
        gate()
        raise ZeroDivisionError

    outbox.put(Parcel(fail))
    assert gate.reached.wait(DEADLINE)
    outbox.put(Parcel(recorder(sent, "row of an epoch")))
    gate.opened.set()
    with pytest.raises(ZeroDivisionError):
        outbox.flush(seconds=DEADLINE)
    with pytest.raises(ZeroDivisionError):
        outbox.put(Parcel(recorder(sent, "another")))
    outbox.close()
    assert sent == []


def test_an_optional_file_that_fails_is_told_and_ends_nothing(outbox: Outbox) -> None:
    told: list[str] = []
    sent: list[str] = []

    def full() -> None:
        raise OSError(28, "No space left on device")

    def broken(error: Exception) -> None:
        told.append(str(error))
        raise ZeroDivisionError

    outbox.put(Parcel(full, optional=True, lost=broken))
    outbox.put(Parcel(recorder(sent, "state")))
    assert outbox.flush(seconds=DEADLINE)
    assert (sent, told) == (["state"], ["[Errno 28] No space left on device"])


def test_an_optional_file_that_went_to_another_store_ends_the_attempt(outbox: Outbox) -> None:
    def elsewhere() -> None:
        raise JobFailure(Reason.WRONG_STORE, "the service does not find it")

    outbox.put(Parcel(elsewhere, optional=True))
    with pytest.raises(JobFailure):
        outbox.flush(seconds=DEADLINE)


def test_what_fails_for_long_is_told_until_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_troubles, "WORTH_TELLING_SECONDS", 0.0)
    news: list[str] = []
    told = Troubles(lambda: news.append("now"))
    answers = iter([StoreFull("The disk is full."), StoreFull("The disk is full."), ServiceUnavailable("away"), None])
    seen: list[str] = []

    def send() -> None:
        if (answer := next(answers)) is not None:
            raise answer

    def look(_seconds: float) -> None:
        trouble = told.told()
        assert trouble is not None
        seen.append(f"{trouble.what}: {trouble.cause}: {trouble.detail}")

    told.persist("saving", send, wait=look)
    full = "saving: store_full: The disk is full."
    assert seen == [full, full, "saving: service-unavailable: away"]
    assert len(news) == 2
    assert told.told() is None


def test_a_call_that_does_not_return_is_told_and_a_large_one_that_always_takes_long_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(store_troubles.time, "monotonic", lambda: now[0])
    told, seen = Troubles(), []

    def takes(seconds: float) -> None:
        now[0] += seconds
        seen.append(str(told.told()))

    for seconds in (61.0, 100.0, 190.0):
        told.persist("saving", partial(takes, seconds))
    under_way = "saving has been under way for {} s and is not done"
    assert seen == [under_way.format(61), "None", "None"]
    told.persist("saving", partial(takes, 571.0))
    assert seen[-1] == under_way.format(571)
    assert told.told() is None


def test_a_lease_lost_elsewhere_ends_the_waiting() -> None:
    def check() -> None:
        raise LeaseLost("the heartbeat learned it")

    def send() -> None:
        raise ServiceUnavailable("away")

    outbox = Outbox(check=check, lose=lambda _why: None)
    outbox.put(Parcel(send))
    with pytest.raises(LeaseLost):
        outbox.flush(seconds=DEADLINE)
    outbox.close()
