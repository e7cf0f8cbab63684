"""State and files have separate lanes: no file delays the state, and nothing is committed once an attempt ends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from baton.domain.errors import JobFailure
from baton.domain.policies import Reason
from baton.storage import StoreFull
from worker import retry
from worker.checkpointing.upload_queue import GivenUp, Outbox, Parcel

DEADLINE = 10.0


class Upload:
    """An upload that ends when it is told to, and then commits if that is still wanted."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.begun, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.committed = False

    def __call__(self) -> None:
        self.begun.set()
        assert self.go_on.wait(DEADLINE)
        try:
            self._outbox.still_wanted()
            self.committed = True
        finally:
            self.ended.set()


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    box = Outbox(check=lambda: None, lose=lambda _why: None)
    yield box
    box.close()


@pytest.fixture
def upload(outbox: Outbox) -> Iterator[Upload]:
    found = Upload(outbox)
    yield found
    found.go_on.set()


def under_way(outbox: Outbox, upload: Upload, *, optional: bool) -> None:
    outbox.put(Parcel(upload, optional=optional, saves=True))
    assert upload.begun.wait(DEADLINE)


def recorder(sent: list[str], name: str) -> Callable[[], None]:
    return lambda: sent.append(name)


def test_a_file_that_takes_long_does_not_delay_the_state(outbox: Outbox, upload: Upload) -> None:
    sent: list[str] = []
    under_way(outbox, upload, optional=True)
    outbox.put(Parcel(recorder(sent, "another file"), optional=True))
    outbox.put(Parcel(recorder(sent, "state")))
    assert outbox.flush(seconds=DEADLINE, files=False)
    assert sent == ["state"]
    assert not outbox.flush(seconds=0.0)


def test_a_checkpoint_does_not_wait_until_all_rows_are_sent(outbox: Outbox, upload: Upload) -> None:
    sent: list[str] = []
    outbox.put(Parcel(upload))
    assert upload.begun.wait(DEADLINE)
    for name in ("row 1", "row 2", "checkpoint 1", "checkpoint 2", "row 3"):
        outbox.put(Parcel(recorder(sent, name), saves=name.startswith("checkpoint")))
    upload.go_on.set()
    assert outbox.flush(seconds=DEADLINE)
    assert sent == ["checkpoint 1", "row 1", "checkpoint 2", "row 2", "row 3"]


def test_in_a_hurry_files_are_dropped_and_the_one_under_way_is_not_waited_for(outbox: Outbox, upload: Upload) -> None:
    sent: list[str] = []
    under_way(outbox, upload, optional=True)
    outbox.put(Parcel(recorder(sent, "file"), optional=True))
    outbox.put(Parcel(recorder(sent, "state")))
    assert outbox.flush(seconds=DEADLINE, hurry=True)
    outbox.put(Parcel(recorder(sent, "late file"), optional=True))
    upload.go_on.set()
    assert outbox.flush(seconds=DEADLINE)
    assert (sent, upload.committed) == (["state"], True)


def test_in_a_hurry_a_file_that_fails_is_not_tried_again(outbox: Outbox) -> None:
    tried, lost = threading.Event(), list[Exception]()

    def full() -> None:
        tried.set()
        raise StoreFull("The disk is full.")

    outbox.put(Parcel(full, optional=True, lost=lost.append))
    assert tried.wait(DEADLINE)
    outbox.hurry()
    assert outbox.flush(seconds=DEADLINE)
    assert lost == []


def test_in_a_hurry_the_state_is_tried_again_soon(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 1000.0)
    monkeypatch.setattr(retry, "LONGEST_WAIT", 1000.0)
    tried, sent = threading.Event(), list[str]()

    def send() -> None:
        if not tried.is_set():
            tried.set()
            raise StoreFull("The disk is full.")
        sent.append("state")

    outbox.put(Parcel(send))
    assert tried.wait(DEADLINE)
    assert outbox.flush(seconds=DEADLINE, hurry=True)
    assert sent == ["state"]


@pytest.mark.parametrize("optional", [True, False])
@pytest.mark.parametrize("end", ["cancel", "failure", "close"])
def test_an_upload_that_is_under_way_at_the_end_is_not_committed(
    outbox: Outbox, upload: Upload, end: str, optional: bool
) -> None:
    under_way(outbox, upload, optional=optional)
    if end == "cancel":
        outbox.cancel()
    elif end == "close":
        outbox.close()
    else:
        outbox.put(Parcel(_fails, optional=not optional, saves=True))
        with pytest.raises(JobFailure):
            outbox.flush(seconds=DEADLINE)
    upload.go_on.set()
    assert upload.ended.wait(DEADLINE)
    assert not upload.committed
    with pytest.raises(GivenUp):
        outbox.still_wanted()


def _fails() -> None:
    raise JobFailure(Reason.WRONG_STORE, "ends the attempt in either lane")


def test_after_a_cancellation_rows_are_sent_and_nothing_is_saved(outbox: Outbox, upload: Upload) -> None:
    sent: list[str] = []
    under_way(outbox, upload, optional=False)
    outbox.put(Parcel(recorder(sent, "waiting"), saves=True))
    outbox.put(Parcel(recorder(sent, "row")))
    outbox.cancel()
    outbox.put(Parcel(recorder(sent, "late"), saves=True))
    upload.go_on.set()
    assert outbox.flush(seconds=DEADLINE)
    assert (sent, upload.committed) == (["row"], False)


def test_files_that_are_given_up_are_reported(outbox: Outbox, upload: Upload) -> None:
    lost: list[str] = []
    outbox.put(Parcel(upload, optional=True, lost=lambda error: lost.append(f"first: {error}")))
    assert upload.begun.wait(DEADLINE)
    outbox.put(Parcel(_fails, optional=True, lost=lambda error: lost.append(f"second: {error}")))
    outbox.give_up_files(TimeoutError("late"))
    assert lost == ["first: late", "second: late"]


def test_the_end_does_not_wait_for_a_call_that_hangs(
    outbox: Outbox, upload: Upload, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.put(Parcel(upload, what="writing best.keras"))
    assert upload.begun.wait(DEADLINE)
    outbox.close()
    assert not upload.ended.is_set()
    assert "writing best.keras is still under way at the end" in caplog.text
