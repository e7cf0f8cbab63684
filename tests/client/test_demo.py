"""What the demo checks, draws and removes."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from baton.cli.demo.chart import draw, epoch_at, stage_spans
from baton.cli.demo.checks import Outcome, all_checks, statuses
from baton.cli.demo.scenario import kill_now, stage_start
from baton.cli.demo.workspace import MARKER, fresh_directory
from baton.domain.views import AttemptView, EventView, JobView
from baton.domain.wire import EpochRow
from baton.local.data_directory import DataDirectory
from baton.local.errors import Occupied, StackError
from tests.client.fake_service import attempt, epoch, job, progress

ROWS = [
    EpochRow.model_validate(epoch(k, stage=1 + (k > 2), stage_epoch=k, image_size=16 if k < 3 else 32))
    for k in (1, 2, 3)
]
LOST, LAST = attempt(1, "lost", 0), attempt(2, "succeeded", 25)
SPEC = {"stages": [{"epochs": 5}, {"epochs": 10}]}


@pytest.fixture
def good() -> Outcome:
    ended = JobView.model_validate(job("j", status="succeeded", results={"test_accuracy": 0.97}))
    return Outcome(
        job=ended,
        history=ROWS,
        attempts=[AttemptView.model_validate(a) for a in (LOST, LAST)],
        statuses=["queued", "running", "recovering", "running", "succeeded"],
        killed_at=30,
        epochs=3,
        total_steps=60,
    )


def failed(outcome: Outcome) -> list[str]:
    return [check.text for check in all_checks(outcome) if not check.holds]


def test_a_good_run_passes(good: Outcome) -> None:
    assert failed(good) == []


def test_a_missing_and_a_doubled_epoch_are_named(good: Outcome) -> None:
    assert any("missing [2]" in text for text in failed(replace(good, history=[ROWS[0], ROWS[2]])))
    assert any("repeated [1]" in text for text in failed(replace(good, history=[ROWS[0], *ROWS])))


def test_other_broken_promises_are_found(good: Outcome) -> None:
    poor = good.job.model_copy(update={"results": {"test_accuracy": 0.5}, "status": "failed"})
    assert len(failed(replace(good, job=poor))) == 2
    assert len(failed(replace(good, statuses=["running", "succeeded"]))) == 1
    assert len(failed(replace(good, attempts=good.attempts[1:]))) == 2
    assert len(failed(replace(good, total_steps=61))) == 1
    assert len(failed(replace(good, history=[]))) == 2


def test_statuses_come_from_the_log() -> None:
    kinds = [
        "submitted",
        "queued",
        "claimed",
        "epoch",
        "attempt_lost",
        "recovering",
        "claimed",
        "restored",
        "succeeded",
    ]
    log = [
        EventView(sequence=k, at=datetime.now(UTC), kind=kind, actor="", message="", data={})
        for k, kind in enumerate(kinds)
    ]
    assert statuses(log) == ["queued", "running", "recovering", "running", "succeeded"]


def view(**changes: object) -> JobView:
    return JobView.model_validate(job("j", spec=SPEC, **changes))


def saved(step: int) -> dict[str, object]:
    return {"global_step": step, "committed_at": "2026-01-02T03:04:05Z"}


def test_the_worker_is_killed_only_where_it_hurts() -> None:
    """Stage 2 begins at step 100, after five epochs of twenty steps.

    The demo kills the worker only if that loses steps.
    """
    inside = {**progress(110), "stage": 2, "epoch": 6, "step": 10}
    assert stage_start(view(progress=inside)) == 100
    assert kill_now(view(progress=inside, checkpoint=saved(105)))
    assert not kill_now(view(progress=inside, checkpoint=saved(100)))
    assert not kill_now(view(progress=inside, checkpoint=None))
    assert not kill_now(view(progress={**inside, "step": 20}, checkpoint=saved(105)))
    assert not kill_now(view(progress={**inside, "stage": 1}, checkpoint=saved(105)))
    assert not kill_now(view(progress=inside, checkpoint=saved(110)))
    assert not kill_now(view(progress=inside, checkpoint=saved(105), status="recovering"))


def test_places_on_the_epoch_axis() -> None:
    assert [epoch_at(ROWS, step) for step in (0, 10, 20, 30, 60)] == [0, 0.5, 1, 1.5, 3]
    assert [(s.stage, s.pixels, s.first, s.last) for s in stage_spans(ROWS)] == [(1, 16, 0, 2), (2, 32, 2, 3)]


def test_the_picture_is_a_picture(tmp_path: Path) -> None:
    drawn = draw(ROWS, "title", [30], tmp_path / "p.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")


def test_only_a_demo_is_swept_away(tmp_path: Path) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "thesis.tex").touch()
    with pytest.raises(StackError, match="--data"):
        fresh_directory(mine)
    demo = fresh_directory(tmp_path / "demo")
    (demo / "old").touch()
    assert [p.name for p in fresh_directory(demo).iterdir()] == [MARKER]


def test_a_running_demo_is_left_alone(tmp_path: Path) -> None:
    demo = fresh_directory(tmp_path / "demo")
    data = DataDirectory(demo / "stack")
    data.make()
    with data.locked(), pytest.raises(Occupied):
        fresh_directory(demo)
