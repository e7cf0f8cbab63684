"""Epochs that are shorter than a call to the service: checkpoints are still committed, and no row is lost."""

from __future__ import annotations

import threading
from pathlib import Path

from baton.domain.manifest import MANIFEST, Manifest
from baton.domain.wire import CheckpointCommit, CheckpointRole, EpochRecord, Note, Outcome
from baton.storage.directory import DirectoryStore
from tests.unit.worker.attempt_run import Trainer, run, snapshot
from tests.unit.worker.epoch_rows import row
from tests.unit.worker.fake_service import Service
from worker.attempt.protocols import Control

LATEST = frozenset({CheckpointRole.LATEST})
DEADLINE = 60.0


class Recording(Service):
    """Records the rows in the order in which they come. The note `gate` blocks until the test opens it."""

    def __init__(self) -> None:
        super().__init__(())
        self.order: list[str] = []
        self.reached, self.opened = threading.Event(), threading.Event()

    def record_epoch(self, _attempt_id: str, record: EpochRecord) -> None:
        self.order.append(f"row {record.row.epoch}")

    def commit_checkpoint(self, attempt_id: str, commit: CheckpointCommit) -> None:
        super().commit_checkpoint(attempt_id, commit)
        self.order.append(f"checkpoint {commit.position.global_step}")

    def note(self, attempt_id: str, note: Note) -> None:
        if note.kind == "gate":
            self.reached.set()
            assert self.opened.wait(DEADLINE)


def save(control: Control, step: int) -> str:
    prefix = control.name_checkpoint(step)
    control.save(prefix, snapshot(step), LATEST)
    return prefix


def missing(store: DirectoryStore, service: Service) -> list[int | None]:
    return [Manifest.model_validate_json(store.get(f"{c.prefix}/{MANIFEST}")).rows_from for c in service.commits]


def test_a_checkpoint_that_overtakes_rows_names_the_first_of_them(tmp_path: Path) -> None:
    store, service = DirectoryStore(tmp_path), Recording()

    def act(control: Control) -> None:
        control.note("gate", "")
        assert service.reached.wait(DEADLINE)
        save(control, 7)
        for epoch in (3, 4):
            control.epoch(row(epoch), None, False)
        prefix = save(control, 14)
        service.opened.set()
        control.load(prefix)  # waits until everything is sent
        control.load(save(control, 28))

    assert run(service, store, Trainer(act), tmp_path).outcome is Outcome.SUCCEEDED
    assert service.order == ["checkpoint 14", "row 3", "row 4", "checkpoint 28"]
    assert missing(store, service) == [3, None]


def test_checkpoints_do_not_starve_behind_rows(tmp_path: Path) -> None:
    """Two more rows wait whenever a row is recorded, so the queue is never empty."""
    store, enough = DirectoryStore(tmp_path), threading.Event()

    class Rushed(Recording):
        control: Control
        epochs = 0

        def rush(self) -> None:
            for _ in range(2):
                self.epochs += 1
                self.control.epoch(row(self.epochs), None, False)
            save(self.control, 7 * self.epochs)

        def record_epoch(self, attempt_id: str, record: EpochRecord) -> None:
            super().record_epoch(attempt_id, record)
            if len(self.commits) >= 5 or len(self.order) > 200:
                enough.set()
            elif not enough.is_set():
                self.rush()

    service = Rushed()

    def act(control: Control) -> None:
        service.control = control
        service.rush()
        assert enough.wait(DEADLINE)

    assert run(service, store, Trainer(act), tmp_path).outcome is Outcome.SUCCEEDED
    assert len(service.commits) >= 5
    assert [int(one.split()[1]) for one in service.order if one.startswith("row")] == list(range(1, service.epochs + 1))
