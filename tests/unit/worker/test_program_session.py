"""What an attempt does with the messages of its program: what it shows, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from baton.domain.spec import ProgramJobSpec, parse_spec
from baton.domain.wire import CheckpointRole, EpochRow, Phase, Position, Progress
from baton.program import protocol
from worker.checkpointing.snapshot import Snapshot
from worker.programs.server import RequestError
from worker.programs.session import ROWS_BEFORE_MISSING, ProgramSession
from worker.programs.state import ProgramCursor


class Control:
    """Keeps what a session passes on."""

    attempt, job_id = 1, "j"

    def __init__(self) -> None:
        self.shown: list[Progress | None] = []
        self.rows: list[EpochRow] = []
        self.saves: list[Snapshot] = []
        self.roles: list[frozenset[CheckpointRole]] = []
        self.notes: list[tuple[str, str]] = []

    def tell(self, _phase: Phase, progress: Progress | None = None, _metrics: Any = None) -> None:
        self.shown.append(progress)

    def stands_at(self, step: int) -> None:
        pass

    def stopping(self) -> None:
        return None

    def series(self, points: Any) -> None:
        pass

    def epoch(self, row: EpochRow, _best: Any, **_: Any) -> None:
        self.rows.append(row)

    def name_checkpoint(self, step: int) -> str:
        return f"checkpoint-{step}"

    def save(self, _prefix: str, snapshot: Snapshot, roles: frozenset[CheckpointRole], **_: Any) -> None:
        self.saves.append(snapshot)
        self.roles.append(roles)

    def note(self, kind: str, message: str, _data: Any = None) -> None:
        self.notes.append((kind, message))


@pytest.fixture
def control() -> Control:
    return Control()


@pytest.fixture
def session(control: Control, tmp_path: Path) -> ProgramSession:
    return made(control, tmp_path)


def made(control: Control, tmp_path: Path, snapshot: Snapshot | None = None) -> ProgramSession:
    spec = parse_spec({"name": "x", "program": {"command": ["x"]}, "monitor": {"metric": "val_los", "mode": "min"}})
    assert isinstance(spec, ProgramJobSpec)
    return ProgramSession(spec, control, tmp_path, {}, snapshot)  # type: ignore[arg-type]


def save(session: ProgramSession, step: int = 1, **fields: Any) -> protocol.Save:
    folder = session.staging / str(step)
    folder.mkdir()
    return protocol.Save(str(folder), **{"step": step, "epoch": 0, "cursor": {}, **fields})


def test_a_program_shows_no_stages_and_only_the_totals_that_it_tells(session: ProgramSession, control: Control) -> None:
    session.handle(protocol.Epoch(3, 100, {"loss": 1.0}))
    shown = control.shown[-1]
    assert shown is not None
    assert (shown.stage, shown.stages, shown.epoch, shown.epochs) == (0, 0, 3, 0)
    assert (shown.step, shown.steps, shown.global_step, shown.total_steps) == (0, 0, 100, 0)
    session.handle(protocol.Progress(step=200, total=200, epochs=6))
    shown = control.shown[-1]
    assert shown is not None
    assert (shown.epoch, shown.epochs, shown.global_step, shown.total_steps) == (3, 6, 200, 200)


def test_rows_that_the_service_would_refuse_are_an_error_of_the_program(
    session: ProgramSession, control: Control
) -> None:
    session.handle(protocol.Epoch(5, 1, {}))
    for epoch, text in ((0, "rows count from 1"), (5, "5 comes after 5"), (100_001, "is more than 100,000")):
        with pytest.raises(RequestError, match=text):
            session.handle(protocol.Epoch(epoch, 1, {}))
    assert [row.epoch for row in control.rows] == [5]


def test_a_cursor_that_cannot_be_stored_leaves_the_session_as_it_was(session: ProgramSession, control: Control) -> None:
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"in": deep}
    with pytest.raises(RequestError, match=r"^the cursor cannot be stored"):
        session.handle(save(session, cursor=deep, metrics={"val_los": 1.0}))
    assert session.heard.saved_at is None
    session.handle(save(session, 2, metrics={"val_los": 2.0}))
    (saved,) = control.saves
    assert (saved.position.global_step, saved.cursor["best_saved"]) == (2, 2.0)


def test_a_file_that_cannot_be_stored_is_named(session: ProgramSession) -> None:
    asked = save(session)
    (Path(asked.folder) / "a\nb").write_text("")
    with pytest.raises(RequestError, match=r"^the name 'a\\nb' has a backslash or a control character"):
        session.handle(asked)


def test_a_metric_of_the_monitor_that_never_comes_is_an_event(session: ProgramSession, control: Control) -> None:
    for epoch in range(1, ROWS_BEFORE_MISSING + 2):
        session.handle(protocol.Epoch(epoch, epoch, {"val_loss": 1.0}))
    session.tell_missing_metric()
    ((kind, text),) = control.notes
    assert kind == "metric_missing"
    assert "no row and no save has the metric val_los of `monitor` so far, only: val_loss" in text


def test_a_metric_of_the_monitor_that_comes_is_no_event(session: ProgramSession, control: Control) -> None:
    session.handle(save(session, metrics={"val_los": 1.0}))
    session.tell_missing_metric()
    assert control.notes == []


@pytest.mark.parametrize(
    ("best_by", "is_best"), [("min val_los", False), (None, False), ("max val_los", True), ("min loss", True)]
)
def test_the_best_value_by_another_monitor_does_not_count(
    control: Control, tmp_path: Path, best_by: str | None, is_best: bool
) -> None:
    """A job that starts from another job may have another monitor. Checkpoints of earlier releases name none."""
    cursor = ProgramCursor(best_saved=0.1, best_by=best_by).model_dump(mode="json")
    begun = Snapshot(Position(stage=0, epoch=0, step=1, global_step=1), {}, cursor)
    session = made(control, tmp_path, begun)
    session.handle(save(session, step=2, metrics={"val_los": 0.5}))
    assert (CheckpointRole.BEST in control.roles[0]) == is_best
    assert control.saves[0].cursor["best_by"] == "min val_los"
