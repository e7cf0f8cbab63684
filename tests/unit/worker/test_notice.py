"""How the training process reacts to notices."""

from __future__ import annotations

import os
import signal
import threading
from types import SimpleNamespace

import pytest

from baton.domain.wire import Grant, Note
from tests.support.gcs import until
from worker.api_client.client import ServiceUnavailable
from worker.attempt.preemption_reporter import PreemptionReporter
from worker.preemption import notice as notice_module
from worker.preemption.notice import Notice, NoticeDetails

GRANT = Grant(
    attempt_id="a",
    job_id="j",
    attempt=1,
    fence=7,
    lease_seconds=30,
    heartbeat_seconds=10,
    spec={},
    checkpoints=(),
    seconds_between_interruptions=3600,
)


@pytest.fixture
def stopped_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice_module, "time", SimpleNamespace(monotonic=lambda: 1000.0))


@pytest.mark.usefixtures("stopped_clock")
def test_the_first_cause_and_the_shortest_time_count() -> None:
    notice = Notice()
    assert not notice.given
    notice.give("preempted", 100.0, source="gce")
    notice.give("SIGTERM", 20.0)
    notice.give("SIGTERM", 50.0)
    assert notice.cause == "gce: preempted"
    assert notice.left() == 20
    assert notice.news.qsize() == 1


def test_what_may_happen_is_a_reason_to_save_once() -> None:
    notice = Notice()
    notice.take(NoticeDetails("aws", "rebalance recommendation", certain=False))
    assert not notice.given
    assert [notice.take_save(), notice.take_save()] == [True, False]


@pytest.mark.usefixtures("stopped_clock")
def test_signals_give_the_grace() -> None:
    notice = Notice()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        notice.listen(7.0)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert (notice.given, notice.cause) == (True, "SIGINT")
    assert notice.left() == 7


class Service:
    """Accepts notes after `failures` failed calls."""

    def __init__(self, failures: int = 0) -> None:
        self.failures, self.notes = failures, list[Note]()

    def note(self, attempt_id: str, note: Note) -> None:
        if self.failures:
            self.failures -= 1
            raise ServiceUnavailable("away")
        self.notes.append(note)


@pytest.mark.parametrize("failures", [0, 2])
def test_the_log_is_told_while_the_state_is_saved(failures: int) -> None:
    service, notice = Service(failures), Notice()
    with PreemptionReporter(service, GRANT, notice):  # type: ignore[arg-type]  # the call that it makes
        notice.take(NoticeDetails("aws", "rebalance recommendation", certain=False))
        notice.give("spot instance-action terminate", 118.4, source="aws")
        until(lambda: len(service.notes) == 2, 60, "both notes")
    assert [note.kind for note in service.notes] == ["notice"] * 2
    assert [note.fence for note in service.notes] == [7, 7]
    told = {"source": "aws", "cause": "spot instance-action terminate", "seconds": 118.4, "certain": True}
    assert service.notes[1].data == told
    assert service.notes[1].message == (
        "aws: spot instance-action terminate: the machine goes away in 118 s, saving and handing over"
    )


def test_an_earlier_notice_is_reported_and_an_unavailable_service_delays_nothing() -> None:
    service, notice = Service(), Notice()
    notice.give("SIGTERM", 25.0)
    with PreemptionReporter(service, GRANT, notice):  # type: ignore[arg-type]
        until(lambda: len(service.notes) == 1, 60, "the note")
    silent, late = Service(failures=10**9), Notice()
    done = threading.Event()

    def hold() -> None:
        with PreemptionReporter(silent, GRANT, late):  # type: ignore[arg-type]
            late.give("SIGTERM", 6.0)
        done.set()

    threading.Thread(target=hold, daemon=True).start()
    assert done.wait(60)
