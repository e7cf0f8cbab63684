"""Runs one attempt with a fake trainer: what it reports, and how it ends."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, cast

import pytest

from baton.domain.errors import JobFailure
from baton.domain.goodput import Bucket, Stopwatch
from baton.domain.protocol_versions import TAKES_SERIES
from baton.domain.reasons import Reason
from baton.domain.wire import CheckpointCommit, CheckpointRole, Outcome, Phase, Progress
from tests.unit.worker.attempt_run import Away, Trainer, run, snapshot
from tests.unit.worker.fake_service import OldService, Service
from worker import system_metrics
from worker.attempt import lease
from worker.attempt.failures import ProgramFailure
from worker.attempt.protocols import Control, ProgramControl, Stopped

pytestmark = pytest.mark.usefixtures("no_retry_wait")


def test_a_file_that_cannot_be_made_is_an_event(store: Away, tmp_path: Path) -> None:
    def full(_path: Path) -> None:
        raise OSError(28, "No space left on device")

    def publish(control: Control) -> None:
        for _ in range(2):
            control.publish("best.keras", full, "application/octet-stream")
            control.note("between", "two files")

    service = Service(())
    assert run(service, store, Trainer(publish), tmp_path).outcome is Outcome.SUCCEEDED
    assert service.notes.count("file_failed") == 1
    assert any("best.keras" in word and "No space left" in word for word in service.words)


def test_a_failure_that_the_service_does_not_know_is_told_all_the_same(store: Away, tmp_path: Path) -> None:
    def fail(_control: Control) -> None:
        raise JobFailure(Reason.DATA_CHANGED, "other data")

    finish = run(OldService(()), store, Trainer(fail), tmp_path)
    assert (finish.outcome, finish.reason) == (Outcome.FAILED, Reason.EXCEPTION)
    assert finish.message


class _Hesitant(Away):
    """A store that answers the first write only when the trainer has ended."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.ended = threading.Event()

    def put(self, *args: Any, **options: Any) -> Any:
        assert self.ended.wait(60)
        return super().put(*args, **options)


@pytest.mark.parametrize("mistake", [None, JobFailure(Reason.BAD_DATA, "the service refuses it")])
def test_what_a_program_saved_before_it_failed_is_committed(tmp_path: Path, mistake: Exception | None) -> None:
    store, service = _Hesitant(tmp_path / "store"), Service(())

    def fail(control: Control) -> None:
        cast("ProgramControl", control).save("jobs/j/checkpoints/0000000003-2-0", snapshot(3), frozenset())
        control.note("last", "words")
        store.ended.set()
        raise ProgramFailure(Reason.EXCEPTION, "ValueError: no such thing", None)

    def commit(attempt_id: str, message: CheckpointCommit) -> None:
        if mistake is not None:
            raise mistake
        Service.commit_checkpoint(service, attempt_id, message)

    service.commit_checkpoint = commit  # type: ignore[method-assign, assignment]
    finish = run(service, store, Trainer(fail), tmp_path)
    assert (finish.outcome, finish.reason) == (Outcome.FAILED, Reason.EXCEPTION)
    assert "no such thing" in finish.message
    assert [one.position.global_step for one in service.commits] == ([3] if mistake is None else [])


@pytest.mark.parametrize("protocol", [TAKES_SERIES - 1, TAKES_SERIES])
def test_the_load_of_the_machine_is_sent_to_a_service_that_stores_series(
    store: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    monkeypatch.setattr(system_metrics, "SECONDS", 0.01)
    service = Service((), protocol)

    def wait(_control: Control) -> None:
        if protocol >= TAKES_SERIES:
            assert service.measured.wait(60)

    assert run(service, store, Trainer(wait), tmp_path).outcome is Outcome.SUCCEEDED
    assert service.measured.is_set() == (protocol >= TAKES_SERIES)


@pytest.mark.parametrize("error", [SystemExit(3), type("Own", (BaseException,), {})("words")])
def test_a_program_that_ends_itself_is_told(store: Away, tmp_path: Path, error: BaseException) -> None:
    def fail(_control: Control) -> None:
        raise error

    finish = run(Service(()), store, Trainer(fail), tmp_path)
    assert (finish.outcome, finish.reason) == (Outcome.FAILED, Reason.EXCEPTION)
    assert str(error) in finish.message


def test_the_finish_tells_where_the_time_went(store: Away, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(lease, "Stopwatch", lambda _clock: Stopwatch(lambda: now))

    def act(control: Control) -> None:
        nonlocal now
        now += 5.0
        with control.watch.measure(Bucket.TRAINING):
            control.tell(Phase.TRAINING)
            now += 10.0
            with control.watch.measure(Bucket.CHECKPOINT_STALL):
                now += 2.0
                control.save(control.name_checkpoint(5), snapshot(5), frozenset({CheckpointRole.LATEST}))
        raise Stopped

    service = Service(())
    finish = run(service, store, Trainer(act), tmp_path)
    (commit,) = service.commits
    assert commit.trained_seconds == finish.seconds["training"] == 10.0  # no training time is lost
    assert commit.stall_seconds == finish.seconds["checkpoint_stall"] == 2.0
    assert finish.seconds["startup"] == 5.0
    assert finish.phase is Phase.STOPPING


def test_a_success_tells_the_last_progress(store: Away, tmp_path: Path) -> None:
    told = Progress(stage=0, stages=0, epoch=3, epochs=3, step=0, steps=0, global_step=7, total_steps=7)
    finish = run(Service(()), store, Trainer(lambda control: control.tell(Phase.TRAINING, told)), tmp_path)
    assert finish.progress == told


def test_heartbeats_carry_seconds_and_the_interval(store: Away, tmp_path: Path) -> None:
    def act(control: Control) -> None:
        assert not control.checkpoint_due(1)
        control.tell(Phase.LOADING)

    service = Service(())
    run(service, store, Trainer(act), tmp_path)
    told: list[Any] = [beat.interval_seconds for beat in service.beats]
    assert set(told) <= {None, 7.0}
    assert all(beat.seconds for beat in service.beats)
