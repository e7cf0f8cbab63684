"""State and files have separate upload lanes: no file delays the state, and nothing is committed after the end of
an attempt.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from baton.domain.errors import JobFailure
from baton.domain.manifest import artifact_object, checkpoint_prefix
from baton.domain.reasons import Reason
from baton.domain.wire import CheckpointRole, Claim, WorkerInfo
from baton.storage import StoreFull
from baton.storage.directory import DirectoryStore
from baton.storage.port import OCTETS
from tests.unit.worker.attempt_run import OWNER, snapshot
from tests.unit.worker.fake_service import Service
from worker import retry
from worker.checkpointing.sender import File, Save, SaveCost, Sender
from worker.checkpointing.upload_queue import GivenUp, UploadQueue, UploadTask

DEADLINE = 60.0


class Upload:
    """An upload that ends when the test says so, and then commits if the commit is still wanted."""

    def __init__(self, uploads: UploadQueue) -> None:
        self._uploads = uploads
        self.begun, self.go_on, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.committed = False

    def __call__(self) -> None:
        self.begun.set()
        assert self.go_on.wait(DEADLINE)
        try:
            self._uploads.still_wanted()
            self.committed = True
        finally:
            self.ended.set()


@pytest.fixture
def uploads() -> Iterator[UploadQueue]:
    box = UploadQueue(check=lambda: None, lose=lambda _why: None)
    yield box
    box.close()


@pytest.fixture
def upload(uploads: UploadQueue) -> Iterator[Upload]:
    found = Upload(uploads)
    yield found
    found.go_on.set()


def not_wanted() -> None:
    raise GivenUp("the attempt ends")


def one_byte(path: Path) -> None:
    path.write_bytes(b"x")


def test_what_is_not_wanted_any_more_is_not_committed(tmp_path: Path) -> None:
    service = Service(())
    claim = Claim(claim_id="0" * 32, worker=WorkerInfo(name="w", host="h", pid=1, version="0"))
    sender = Sender(
        service,  # type: ignore[arg-type]  # the calls that a sender makes
        DirectoryStore(tmp_path),
        service.claim("a", claim),
        OWNER,
        saved=lambda _stall, _seconds: None,
        wanted=not_wanted,
    )
    prefix = checkpoint_prefix("j", 7, fence=2, save=0)
    with pytest.raises(GivenUp):
        sender.save(Save(prefix, snapshot(7), frozenset({CheckpointRole.LATEST}), None, SaveCost(0.0, 0.0)), None)
    with pytest.raises(GivenUp):
        sender.publish(File("best.keras", artifact_object("j", 2, 0, "best.keras"), one_byte, OCTETS))
    assert service.commits == []


def under_way(uploads: UploadQueue, upload: Upload, *, optional: bool) -> None:
    uploads.put(UploadTask(upload, optional=optional, saves=True))
    assert upload.begun.wait(DEADLINE)


def recorder(sent: list[str], name: str) -> Callable[[], None]:
    return lambda: sent.append(name)


def test_a_file_that_takes_long_does_not_delay_the_state(uploads: UploadQueue, upload: Upload) -> None:
    sent: list[str] = []
    under_way(uploads, upload, optional=True)
    uploads.put(UploadTask(recorder(sent, "another file"), optional=True))
    uploads.put(UploadTask(recorder(sent, "state")))
    assert uploads.flush(seconds=DEADLINE, files=False)
    assert sent == ["state"]
    assert not uploads.flush(seconds=0.0)


def test_a_checkpoint_does_not_wait_until_all_rows_are_sent(uploads: UploadQueue, upload: Upload) -> None:
    sent: list[str] = []
    uploads.put(UploadTask(upload))
    assert upload.begun.wait(DEADLINE)
    for name in ("row 1", "row 2", "checkpoint 1", "checkpoint 2", "row 3"):
        saves = name.startswith("checkpoint")
        uploads.put(UploadTask(recorder(sent, name), saves=saves, yields=not saves))
    upload.go_on.set()
    assert uploads.flush(seconds=DEADLINE)
    assert sent == ["checkpoint 1", "row 1", "checkpoint 2", "row 2", "row 3"]


def test_a_checkpoint_overtakes_no_event_that_was_reported_before_it(uploads: UploadQueue, upload: Upload) -> None:
    sent: list[str] = []
    uploads.put(UploadTask(upload))
    assert upload.begun.wait(DEADLINE)
    uploads.put(UploadTask(recorder(sent, "row 1"), yields=True))
    uploads.put(UploadTask(recorder(sent, "event")))
    uploads.put(UploadTask(recorder(sent, "row 2"), yields=True))
    uploads.put(UploadTask(recorder(sent, "checkpoint"), saves=True))
    upload.go_on.set()
    assert uploads.flush(seconds=DEADLINE)
    assert sent == ["row 1", "event", "checkpoint", "row 2"]


def test_in_a_hurry_files_are_dropped_and_the_one_under_way_is_not_waited_for(
    uploads: UploadQueue, upload: Upload
) -> None:
    sent: list[str] = []
    under_way(uploads, upload, optional=True)
    uploads.put(UploadTask(recorder(sent, "file"), optional=True))
    uploads.put(UploadTask(recorder(sent, "state")))
    assert uploads.flush(seconds=DEADLINE, hurry=True)
    uploads.put(UploadTask(recorder(sent, "late file"), optional=True))
    upload.go_on.set()
    assert uploads.flush(seconds=DEADLINE)
    assert (sent, upload.committed) == (["state"], True)


def test_in_a_hurry_a_file_that_fails_is_not_tried_again(uploads: UploadQueue) -> None:
    tried, lost = threading.Event(), list[Exception]()

    def full() -> None:
        tried.set()
        raise StoreFull("The disk is full.")

    uploads.put(UploadTask(full, optional=True, lost=lost.append))
    assert tried.wait(DEADLINE)
    uploads.hurry()
    assert uploads.flush(seconds=DEADLINE)
    assert lost == []


def test_in_a_hurry_the_state_is_tried_again_soon(uploads: UploadQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_WAIT", 1000.0)
    monkeypatch.setattr(retry, "LONGEST_WAIT", 1000.0)
    tried, sent = threading.Event(), list[str]()

    def send() -> None:
        if not tried.is_set():
            tried.set()
            raise StoreFull("The disk is full.")
        sent.append("state")

    uploads.put(UploadTask(send))
    assert tried.wait(DEADLINE)
    assert uploads.flush(seconds=DEADLINE, hurry=True)
    assert sent == ["state"]


@pytest.mark.parametrize("optional", [True, False])
@pytest.mark.parametrize("end", ["cancel", "failure", "close"])
def test_an_upload_that_is_under_way_at_the_end_is_not_committed(
    uploads: UploadQueue, upload: Upload, end: str, optional: bool
) -> None:
    under_way(uploads, upload, optional=optional)
    if end == "cancel":
        uploads.cancel()
    elif end == "close":
        uploads.close()
    else:
        uploads.put(UploadTask(_fails, optional=not optional, saves=True))
        with pytest.raises(JobFailure):
            uploads.flush(seconds=DEADLINE)
    upload.go_on.set()
    assert upload.ended.wait(DEADLINE)
    assert not upload.committed
    with pytest.raises(GivenUp):
        uploads.still_wanted()


def _fails() -> None:
    raise JobFailure(Reason.WRONG_STORE, "ends the attempt in either lane")


def test_after_a_cancellation_rows_are_sent_and_nothing_is_saved(uploads: UploadQueue, upload: Upload) -> None:
    sent: list[str] = []
    under_way(uploads, upload, optional=False)
    uploads.put(UploadTask(recorder(sent, "waiting"), saves=True))
    uploads.put(UploadTask(recorder(sent, "row")))
    uploads.cancel()
    uploads.put(UploadTask(recorder(sent, "late"), saves=True))
    upload.go_on.set()
    assert uploads.flush(seconds=DEADLINE)
    assert (sent, upload.committed) == (["row"], False)


def test_files_that_are_given_up_are_reported(uploads: UploadQueue, upload: Upload) -> None:
    lost: list[str] = []
    uploads.put(UploadTask(upload, optional=True, lost=lambda error: lost.append(f"first: {error}")))
    assert upload.begun.wait(DEADLINE)
    uploads.put(UploadTask(_fails, optional=True, lost=lambda error: lost.append(f"second: {error}")))
    uploads.give_up_files(TimeoutError("late"))
    assert lost == ["first: late", "second: late"]


def test_the_end_does_not_wait_for_a_call_that_hangs(
    uploads: UploadQueue, upload: Upload, caplog: pytest.LogCaptureFixture
) -> None:
    uploads.put(UploadTask(upload, what="writing best.keras"))
    assert upload.begun.wait(DEADLINE)
    uploads.close()
    assert not upload.ended.is_set()
    assert "writing best.keras is still in progress at the end" in caplog.text
