"""What an attempt of a program does with the rows of its checkpoint, and of the attempts before it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from baton.domain.protocol_versions import ROLLS_BACK_HISTORY
from baton.domain.spec import ProgramJobSpec, parse_spec
from baton.domain.wire import BestMetric, EpochRow, Grant
from baton.program import protocol
from tests.service.program_jobs import program
from worker.api_client.client import Refused, ServiceClient
from worker.attempt.protocols import ProgramControl
from worker.attempt.rollback import roll_back
from worker.checkpointing.snapshot import Snapshot
from worker.programs.session import ProgramSession

VALUES = (0.5, 0.3, 0.4, 0.2)
"""The metric `val_loss` of the epochs 1 to 4."""


@dataclass
class Control:
    """Keeps what the session tells it. `rows`: rows and best epochs in their order."""

    rolled_back: tuple[int, int, BestMetric | None] | None = None
    rows: list[tuple[EpochRow, BestMetric | None]] = field(default_factory=list)
    saved: list[Snapshot] = field(default_factory=list)
    attempt: int = 1

    def roll_back(self, after_step: int, after_epoch: int, best: BestMetric | None) -> None:
        assert not self.rows
        self.rolled_back = after_step, after_epoch, best

    def epoch(self, row: EpochRow, best: BestMetric | None, stage_finished: bool) -> None:
        self.rows.append((row, best))

    def save(self, _prefix: str, snapshot: Snapshot, *_: Any, **__: Any) -> None:
        self.saved.append(snapshot)

    def name_checkpoint(self, step: int) -> str:
        return f"jobs/j/checkpoints/{step}"

    def series(self, points: Sequence[object], *, now: bool = False) -> None: ...
    def tell(self, *_: object) -> None: ...
    def stands_at(self, _step: int) -> None: ...
    def stopping(self) -> None: ...


def session(control: Control, folder: Path, snapshot: Snapshot | None = None, **changes: Any) -> ProgramSession:
    spec = cast(ProgramJobSpec, parse_spec(program(**changes)))
    folder.mkdir()
    return ProgramSession(spec, cast(ProgramControl, control), folder, {}, snapshot)


def saved_after(folder: Path, epochs: int, last_epoch: int | None) -> Snapshot:
    """A save that began when the row of `last_epoch` was the last one, and was complete after `epochs` rows."""
    control = Control()
    one = session(control, folder)
    for number in range(1, epochs + 1):
        one.handle(protocol.Epoch(number, 10 * number, {"val_loss": VALUES[number - 1]}))
    (one.staging / "s").mkdir()
    one.handle(
        protocol.Save(str(one.staging / "s"), 40, 0, {}, {}, last_point_step=39, last_epoch=last_epoch, stall=0.0)
    )
    (found,) = control.saved
    assert found.history is not None
    return replace(found, cursor={**found.cursor, "history": json.loads(found.history.json())}, history=None)


def best(epoch: int) -> BestMetric:
    return BestMetric(metric="val_loss", value=VALUES[epoch - 1], stage=1, epoch=epoch)


def test_what_is_later_than_the_checkpoint_is_deleted(tmp_path: Path) -> None:
    control = Control(attempt=2)
    session(control, tmp_path / "next", saved_after(tmp_path / "first", 3, 3)).begin()
    assert control.rolled_back == (39, 3, best(2))
    assert control.rows == []


def test_a_row_that_came_during_the_save_is_neither_kept_nor_the_best(tmp_path: Path) -> None:
    """A save in the background is complete after later rows: the next attempt records these again, or never."""
    control = Control(attempt=2)
    one = session(control, tmp_path / "next", saved_after(tmp_path / "first", 4, 3))
    one.begin()
    assert control.rolled_back == (39, 3, best(2))
    one.handle(protocol.Epoch(4, 50, {"val_loss": 0.9}))
    assert control.rows[-1][1] == best(2)


def test_rows_that_were_not_sent_are_recorded_after_the_rollback(tmp_path: Path) -> None:
    found = saved_after(tmp_path / "first", 3, 3)
    control = Control(attempt=2)
    session(control, tmp_path / "next", replace(found, rows_from=2)).begin()
    assert [(row.epoch, best_) for row, best_ in control.rows] == [(2, best(2)), (3, best(2))]


def test_the_best_row_is_that_of_the_current_monitor(tmp_path: Path) -> None:
    """A job that starts from another one may have another `monitor`."""
    control = Control()
    monitor = {"metric": "val_loss", "mode": "max"}
    session(control, tmp_path / "next", saved_after(tmp_path / "first", 3, 3), monitor=monitor).begin()
    assert control.rolled_back == (39, 3, best(1))


def test_a_program_that_begins_again_deletes_all(tmp_path: Path) -> None:
    control = Control(attempt=2)
    session(control, tmp_path / "next").begin()
    assert control.rolled_back == (-1, 0, None)


class Client:
    """Keeps the calls. `refused`: each of them is refused."""

    def __init__(self, *, refused: bool) -> None:
        self.refused = refused
        self.calls: list[tuple[Any, ...]] = []

    def rollback_series(self, *call: object) -> None:
        self.calls.append(("series", *call))
        if self.refused:
            raise Refused(404, "not-found", "there is no such path")

    def rollback_history(self, *call: object) -> None:
        self.calls.append(("history", *call))


def grant(attempt: int) -> Grant:
    return Grant(
        attempt_id="a", job_id="j", attempt=attempt, fence=3, lease_seconds=1, heartbeat_seconds=1, spec={},
        checkpoints=(), seconds_between_interruptions=1, protocol=ROLLS_BACK_HISTORY,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("attempt", "refused", "calls"), [(1, False, []), (2, False, ["series", "history"]), (2, True, ["series"])]
)
def test_only_a_later_attempt_asks_and_an_older_service_ends_nothing(
    attempt: int, refused: bool, calls: list[str]
) -> None:
    client = Client(refused=refused)
    roll_back(cast(ServiceClient, client), grant(attempt), lambda _what, call: call(), 39, 3, best(2))
    wanted = {"series": ("series", "a", 3, 39), "history": ("history", "a", 3, 3, best(2))}
    assert client.calls == [wanted[one] for one in calls]
