"""The upload queue runs tasks in order, one at a time.

It retries while the store is unavailable and drops superseded tasks silently.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from baton.domain.errors import JobFailure, LeaseLost
from baton.domain.reasons import Reason
from baton.storage import StoreFull
from worker.api_client.client import ServiceUnavailable
from worker.checkpointing import store_troubles
from worker.checkpointing.store_troubles import StoreTroubles
from worker.checkpointing.upload_queue import UploadQueue, UploadTask

DEADLINE = 60.0


class Gate:
    """Blocks the upload queue at its first task until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.opened.wait(DEADLINE)


@pytest.fixture
def lost() -> list[str]:
    return []


@pytest.fixture
def uploads(lost: list[str]) -> Iterator[UploadQueue]:
    box = UploadQueue(check=lambda: None, lose=lost.append)
    yield box
    box.close()


def closed_gate(uploads: UploadQueue) -> Gate:
    gate = Gate()
    uploads.put(UploadTask(gate))
    assert gate.reached.wait(DEADLINE)
    return gate


def recorder(sent: list[str], name: str) -> Callable[[], None]:
    return lambda: sent.append(name)


def test_sends_in_order(uploads: UploadQueue) -> None:
    sent: list[str] = []
    for name in "abc":
        uploads.put(UploadTask(recorder(sent, name)))
    assert uploads.flush(seconds=DEADLINE)
    assert sent == ["a", "b", "c"]


def test_a_newer_checkpoint_takes_the_place_of_a_waiting_one_whose_roles_it_has(uploads: UploadQueue) -> None:
    sent: list[str] = []
    gate = closed_gate(uploads)
    uploads.put(UploadTask(recorder(sent, "best"), frozenset({"latest", "best"})))
    uploads.put(UploadTask(recorder(sent, "old"), frozenset({"latest"})))
    uploads.put(UploadTask(recorder(sent, "row")))
    uploads.put(UploadTask(recorder(sent, "new"), frozenset({"latest"})))
    gate.opened.set()
    assert uploads.flush(seconds=DEADLINE)
    assert sent == ["best", "new", "row"]


def test_what_is_being_sent_is_never_replaced(uploads: UploadQueue) -> None:
    gate, sent = Gate(), []
    uploads.put(UploadTask(gate, frozenset({"latest"})))
    assert gate.reached.wait(DEADLINE)
    uploads.put(UploadTask(lambda: sent.append("new"), frozenset({"latest"})))
    gate.opened.set()
    assert uploads.flush(seconds=DEADLINE)
    assert sent == ["new"]


def test_flush_says_when_time_is_up(uploads: UploadQueue) -> None:
    gate = closed_gate(uploads)
    assert not uploads.flush(seconds=0.01)
    gate.opened.set()


def test_what_is_away_is_tried_again(uploads: UploadQueue) -> None:
    answers = iter([ServiceUnavailable("away"), ServiceUnavailable("away"), None])
    sent: list[str] = []

    def send() -> None:
        if (answer := next(answers)) is not None:
            raise answer
        sent.append("at last")

    uploads.put(UploadTask(send))
    assert uploads.flush(seconds=DEADLINE)
    assert sent == ["at last"]


def test_a_lost_lease_ends_everything(uploads: UploadQueue, lost: list[str]) -> None:
    def send() -> None:
        raise LeaseLost("another has it")

    uploads.put(UploadTask(send))
    with pytest.raises(LeaseLost):
        uploads.flush(seconds=DEADLINE)
    assert lost == ["another has it"]
    with pytest.raises(LeaseLost):
        uploads.put(UploadTask(lambda: None))


def test_an_error_in_the_background_is_raised_in_the_loop(uploads: UploadQueue) -> None:
    def send() -> None:
        raise ZeroDivisionError

    uploads.put(UploadTask(send))
    with pytest.raises(ZeroDivisionError):
        uploads.flush(seconds=DEADLINE)


def test_nothing_is_sent_after_a_failure(uploads: UploadQueue) -> None:
    sent: list[str] = []
    gate = Gate()

    def fail() -> None:
        gate()
        raise ZeroDivisionError

    uploads.put(UploadTask(fail))
    assert gate.reached.wait(DEADLINE)
    uploads.put(UploadTask(recorder(sent, "row of an epoch")))
    gate.opened.set()
    with pytest.raises(ZeroDivisionError):
        uploads.flush(seconds=DEADLINE)
    with pytest.raises(ZeroDivisionError):
        uploads.put(UploadTask(recorder(sent, "another")))
    uploads.close()
    assert sent == []


def test_an_optional_file_that_fails_is_told_and_ends_nothing(uploads: UploadQueue) -> None:
    told: list[str] = []
    sent: list[str] = []

    def full() -> None:
        raise OSError(28, "No space left on device")

    def broken(error: Exception) -> None:
        told.append(str(error))
        raise ZeroDivisionError

    uploads.put(UploadTask(full, optional=True, lost=broken))
    uploads.put(UploadTask(recorder(sent, "state")))
    assert uploads.flush(seconds=DEADLINE)
    assert (sent, told) == (["state"], ["[Errno 28] No space left on device"])


def test_an_optional_file_that_went_to_another_store_ends_the_attempt(uploads: UploadQueue) -> None:
    def elsewhere() -> None:
        raise JobFailure(Reason.WRONG_STORE, "the service does not find it")

    uploads.put(UploadTask(elsewhere, optional=True))
    with pytest.raises(JobFailure):
        uploads.flush(seconds=DEADLINE)


def test_what_fails_for_long_is_told_until_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_troubles, "REPORT_AFTER_SECONDS", 0.0)
    news: list[str] = []
    told = StoreTroubles(lambda: news.append("now"))
    answers = iter([StoreFull("The disk is full."), StoreFull("The disk is full."), ServiceUnavailable("away"), None])
    seen: list[str] = []

    def send() -> None:
        if (answer := next(answers)) is not None:
            raise answer

    def look(_seconds: float) -> None:
        trouble = told.current()
        assert trouble is not None
        seen.append(f"{trouble.what}: {trouble.cause}: {trouble.detail}")

    told.retry_call("saving", send, wait=look)
    full = "saving: store_full: The disk is full."
    assert seen == [full, full, "saving: service-unavailable: away"]
    assert len(news) == 2
    assert told.current() is None


def test_a_call_that_does_not_return_is_told_and_a_large_one_that_always_takes_long_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr(store_troubles.time, "monotonic", lambda: now[0])
    told, seen = StoreTroubles(), []

    def takes(seconds: float) -> None:
        now[0] += seconds
        seen.append(str(told.current()))

    for seconds in (61.0, 100.0, 190.0):
        told.retry_call("saving", partial(takes, seconds))
    under_way = "saving has been running for {} s and has not finished"
    assert seen == [under_way.format(61), "None", "None"]
    told.retry_call("saving", partial(takes, 571.0))
    assert seen[-1] == under_way.format(571)
    assert told.current() is None


def test_a_lease_lost_elsewhere_ends_the_waiting() -> None:
    def check() -> None:
        raise LeaseLost("the heartbeat learned it")

    def send() -> None:
        raise ServiceUnavailable("away")

    uploads = UploadQueue(check=check, lose=lambda _why: None)
    uploads.put(UploadTask(send))
    with pytest.raises(LeaseLost):
        uploads.flush(seconds=DEADLINE)
    uploads.close()
