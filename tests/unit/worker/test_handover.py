"""How an attempt ends: it saves the state first, obeys orders immediately, and uploads files if there is time,
whatever the store does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from baton.domain.wire import (
    ArtifactCommit,
    Beat,
    CheckpointCommit,
    CheckpointRef,
    CheckpointRole,
    Claim,
    Directive,
    EpochRecord,
    Finish,
    Grant,
    Heartbeat,
    Outcome,
    Phase,
)
from baton.storage.directory import DirectoryStore
from baton.storage.errors import StoreFull, StoreUnavailable
from baton.storage.port import OCTETS
from tests.support.faulty_store import FaultyStore
from tests.support.gcs import until
from tests.unit.worker.attempt_run import Trainer, run, snapshot, written
from tests.unit.worker.epoch_rows import row
from tests.unit.worker.fake_service import Service
from worker import retry
from worker.api_client.client import ServiceUnavailable
from worker.attempt import (
    handover,
)
from worker.attempt.protocols import Control, Stop, Stopped
from worker.checkpointing import store_troubles, upload_queue
from worker.preemption.notice import Notice

DEADLINE = 60.0
LATEST = frozenset({CheckpointRole.LATEST})


class Ordering(Service):
    """Gives orders with the next heartbeat, which comes soon."""

    def __init__(self, checkpoints: tuple[CheckpointRef, ...] = ()) -> None:
        super().__init__(checkpoints)
        self.directive = Directive.CONTINUE
        self.when: Callable[[Heartbeat], Directive | None] = lambda _beat: None

    def claim(self, attempt_id: str, claim: Claim) -> Grant:
        return super().claim(attempt_id, claim).model_copy(update={"heartbeat_seconds": 0.02})

    def heartbeat(self, attempt_id: str, beat: Heartbeat) -> Beat:
        super().heartbeat(attempt_id, beat)
        self.directive = self.when(beat) or self.directive
        return Beat(directive=self.directive, lease_seconds=30)

    def record_epoch(self, _attempt_id: str, _record: EpochRecord) -> None:
        raise ServiceUnavailable("busy")

    def commit_artifact(self, _attempt_id: str, commit: ArtifactCommit) -> None:
        self.words.append(f"committed {commit.name}")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[FaultyStore]:
    made = FaultyStore(tmp_path, DEADLINE)
    yield made
    made.works.set()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all delays short: failures are retried and reported soon, and a hanging upload is abandoned soon."""
    monkeypatch.setattr(handover, "CANCEL_SECONDS", 0.1)
    monkeypatch.setattr(upload_queue, "JOIN_SECONDS", 0.05)
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(retry, "LONGEST_WAIT", 0.01)
    monkeypatch.setattr(store_troubles, "REPORT_AFTER_SECONDS", 0.0)


FAULTS = {"full": StoreFull("The disk is full."), "absent": StoreUnavailable("not mounted"), "hangs": None}
any_fault = pytest.mark.parametrize("fault", FAULTS)


def saves(control: Control, step: int = 7) -> str:
    prefix = control.name_checkpoint(step)
    control.save(prefix, snapshot(step), LATEST)
    return prefix


def until_stopped(control: Control) -> None:
    until(lambda: control.stopping() is not None, DEADLINE, "an order")
    raise Stopped


def one_byte(path: Path) -> None:
    path.write_bytes(b"x")


def publishes(control: Control, name: str = "latest.keras") -> None:
    control.publish(name, one_byte, OCTETS)


def saves_once(control: Control) -> None:
    saves(control)


def steps(commits: list[CheckpointCommit]) -> list[int]:
    return [commit.position.global_step for commit in commits]


def test_a_notice_of_seconds_saves_the_state_while_a_file_is_under_way(store: FaultyStore, tmp_path: Path) -> None:
    service, notice = Ordering(), Notice()
    store.fails_for = "/versions/"  # the upload of the file hangs until after the end

    def act(control: Control) -> None:
        publishes(control)
        assert store.asked.wait(DEADLINE)
        notice.give("preempted", 60.0)
        saves(control)
        raise Stopped

    finish = run(service, store, Trainer(act), tmp_path, notice)
    assert (finish.outcome, finish.message) == (Outcome.PREEMPTED, "preempted")
    assert steps(service.commits) == [7]
    assert notice.left() > 0
    assert "committed latest.keras" not in service.words


def test_a_state_that_is_saved_is_not_called_lost_because_of_rows_that_wait(store: FaultyStore, tmp_path: Path) -> None:
    service, notice = Ordering(), Notice()
    store.works.set()

    def act(control: Control) -> None:
        control.load(saves(control))
        control.epoch(row(1), None, False)
        notice.give("preempted", 0.1)
        raise Stopped

    finish = run(service, store, Trainer(act), tmp_path, notice)  # this service records no row
    assert (finish.outcome, finish.message) == (Outcome.PREEMPTED, "preempted")


def ordered(service: Ordering, order: Directive) -> None:
    service.when = lambda beat: order if beat.phase is Phase.TRAINING else None


@any_fault
def test_a_cancellation_saves_nothing_and_waits_for_no_store(store: FaultyStore, tmp_path: Path, fault: str) -> None:
    service, store.error = Ordering(), FAULTS[fault]
    ordered(service, Directive.CANCEL)

    def act(control: Control) -> None:
        publishes(control)
        saves(control, 5)
        assert store.asked.wait(DEADLINE)
        control.tell(Phase.TRAINING)
        try:
            until_stopped(control)
        finally:
            saves(control, 7)

    finish = run(service, store, Trainer(act), tmp_path)
    assert (finish.outcome, finish.message) == (Outcome.CANCELLED, "")
    store.works.set()
    assert service.commits == []
    assert service.words == []


@any_fault
@pytest.mark.parametrize("waits", ["for the last save", "in a load", "while it restores"])
def test_a_cancellation_is_carried_out_wherever_the_attempt_waits_for_the_store(
    store: FaultyStore, tmp_path: Path, fault: str, waits: str
) -> None:
    service = Ordering((written(DirectoryStore(tmp_path), 10),) if waits == "while it restores" else ())
    store.error = FAULTS[fault]
    service.when = lambda _beat: Directive.CANCEL if store.asked.is_set() else None

    def act(control: Control) -> None:
        prefix = saves(control)
        if waits == "in a load":
            control.load(prefix)

    finish = run(service, store, Trainer(act), tmp_path)
    assert (finish.outcome, finish.message) == (Outcome.CANCELLED, "")
    assert service.commits == []


@pytest.mark.parametrize("fault", ["full", "absent"])
@pytest.mark.parametrize("waits", ["in the loop", "for the last save"])
def test_a_pause_saves_the_state_and_says_what_it_waits_for(
    store: FaultyStore, tmp_path: Path, fault: str, waits: str
) -> None:
    service, store.error = Ordering(), FAULTS[fault]

    def when(beat: Heartbeat) -> Directive | None:
        if beat.phase is Phase.STOPPING and beat.trouble and beat.doing == handover.DOING[Stop.PAUSED]:
            store.works.set()
        return Directive.PAUSE if store.asked.is_set() else None

    service.when = when

    def act(control: Control) -> None:
        saves(control)
        if waits == "in the loop":
            until_stopped(control)

    finish = run(service, store, Trainer(act), tmp_path)
    assert (finish.outcome, steps(service.commits)) == (Outcome.PAUSED, [7])
    told = [str(beat.trouble) for beat in service.beats if beat.trouble and beat.phase is Phase.STOPPING]
    assert str(FAULTS[fault]) in told[0]


def test_a_paused_job_can_be_cancelled_while_it_waits(store: FaultyStore, tmp_path: Path) -> None:
    service, store.error = Ordering(), FAULTS["full"]

    def when(beat: Heartbeat) -> Directive | None:
        if beat.doing == handover.DOING[Stop.PAUSED]:
            return Directive.CANCEL
        return Directive.PAUSE if store.asked.is_set() else None

    service.when = when
    finish = run(service, store, Trainer(saves_once), tmp_path)
    assert (finish.outcome, service.commits) == (Outcome.CANCELLED, [])


def test_a_notice_bounds_a_pause(store: FaultyStore, tmp_path: Path) -> None:
    service, notice = Ordering(), Notice()

    def when(beat: Heartbeat) -> Directive | None:
        if beat.doing == handover.DOING[Stop.PAUSED]:
            notice.give("gone", 0.1)
        return Directive.PAUSE if store.asked.is_set() else None

    service.when = when
    finish = run(service, store, Trainer(saves_once), tmp_path, notice)
    assert finish.outcome is Outcome.PREEMPTED
    assert finish.message.startswith("gone; the last state could not be saved in time")


def test_what_a_finished_job_waits_for_is_told(store: FaultyStore, tmp_path: Path) -> None:
    service, store.error = Ordering(), FAULTS["full"]

    def when(beat: Heartbeat) -> None:
        if beat.phase is Phase.EVALUATING and beat.trouble and beat.doing:
            store.works.set()

    service.when = when

    def act(control: Control) -> None:
        saves(control)
        control.tell(Phase.EVALUATING)

    assert run(service, store, Trainer(act), tmp_path).outcome is Outcome.SUCCEEDED
    assert steps(service.commits) == [7]


@pytest.mark.parametrize("fault", ["full", "hangs"])
def test_a_finished_job_waits_for_its_files_within_limits(
    store: FaultyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(handover, "FILES_SECONDS", 0.0)
    service, store.error, store.fails_for = Ordering(), FAULTS[fault], "/versions/"

    def act(control: Control) -> None:
        saves(control)
        publishes(control, "best.keras")
        publishes(control, "history.csv")

    finish: Finish = run(service, store, Trainer(act), tmp_path)
    assert (finish.outcome, steps(service.commits)) == (Outcome.SUCCEEDED, [7])
    assert service.notes == ["file_failed", "file_failed"]
    assert "best.keras" in service.words[0]


def test_a_finished_job_sends_its_files(store: FaultyStore, tmp_path: Path) -> None:
    service = Ordering()
    store.works.set()

    def act(control: Control) -> None:
        publishes(control, "best.keras")

    assert run(service, store, Trainer(act), tmp_path).outcome is Outcome.SUCCEEDED
    assert service.words == ["committed best.keras"]
