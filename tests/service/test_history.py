"""History rows with any metrics: rows of programs, curves, and rows of the previous release."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import delete, update

from baton.domain.extensions import PROGRAMS
from service.db.tables import Epoch, Job, Stage
from tests.service.helpers import ON_BOTH, Api, WorkerHand, assert_problem
from tests.service.program_jobs import claimed

pytestmark = ON_BOTH


def program(api: Api) -> WorkerHand:
    """A running job of a program, which has no stages."""
    hand = api.running()
    with api.services.database.write() as session:
        session.execute(delete(Stage).where(Stage.job_id == hand.job_id))
        session.execute(update(Job).where(Job.id == hand.job_id).values(needs=[PROGRAMS]))
    return hand


def record(hand: WorkerHand, epoch: int, *, best: dict[str, Any] | None = None, **metrics: Any) -> None:
    """Record a row of a program."""
    row = {
        "epoch": epoch, "stage": 1, "stage_epoch": epoch, "global_step": 10 * epoch, "attempt": hand.grant["attempt"],
        "seconds": 1.0, "finished_at": "2026-01-01T00:00:00Z", "metrics": metrics,
    }  # fmt: skip
    answer = hand.post("epochs", row=row, best=best)
    assert answer.status_code == 200, answer.text


def points(api: Api, hand: WorkerHand, metric: str) -> list[list[Any]]:
    answer = api.http.get("/v1/curves", params={"job": hand.job_id, "metric": metric})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"][0]["points"])


def test_the_row_of_a_program(api: Api) -> None:
    hand = program(api)
    metrics = {"val_loss": "NaN", "eval/dice": 0.5, "learning_rate": 0.1, "count": "-Infinity"}
    record(hand, 1, **metrics)
    row = api.items(hand.job_id, "history")[0]
    assert row["metrics"] == api.job(hand.job_id)["metrics"] == metrics
    assert (row["val_loss"], row["learning_rate"]) == ("NaN", 0.1)
    absent = ("image_size", "batch_size", "images_per_second", "loss", "accuracy", "val_accuracy")
    assert [row[name] for name in absent] == [None] * len(absent)
    assert api.kinds(hand.job_id)[-1] == "epoch"


def test_a_row_that_a_program_cannot_have(api: Api) -> None:
    hand = program(api)
    for row, field in (
        ((2, 1, 1), "row.stage_epoch"),
        ((2, 2, 2), "row.stage_epoch"),
        ((100_001, 1, 100_001), "row.epoch"),
    ):
        problem = assert_problem(hand.epoch(*row), 422, "invalid-message")
        assert problem["errors"][0]["field"] == field


def test_a_classifiers_row_lacks_no_field(api: Api) -> None:
    hand = api.running()
    problem = assert_problem(hand.epoch(1, 1, 1, row={"image_size": None, "val_loss": None}), 422, "invalid-message")
    assert [one["field"] for one in problem["errors"]] == ["row.image_size", "row.val_loss"]
    assert api.items(hand.job_id, "history") == []


def test_the_best_epoch_of_a_program_is_what_its_worker_found(api: Api) -> None:
    hand = program(api)
    best = {"metric": "eval/dice", "value": 0.5, "stage": 1, "epoch": 1}
    record(hand, 1, best=best, **{"eval/dice": 0.5})
    record(hand, 2, **{"eval/dice": 0.4})
    assert api.job(hand.job_id)["best"] == best


def test_curves_of_any_metric(api: Api) -> None:
    hand, classifier = program(api), api.running()
    record(hand, 1, **{"eval/dice.mean": 0.1, "val_loss": 3.0, "learning_rate": 0.5})
    record(hand, 2, other=1.0)
    record(hand, 3, **{"eval/dice.mean": "NaN", "val_loss": "Infinity"})
    classifier.epoch(1, 1, 1, row={"val_loss": "NaN"})
    assert points(api, hand, "eval/dice.mean") == [[1, 0.1], [3, "NaN"]]
    assert points(api, hand, "val_loss") == [[1, 3.0], [3, "Infinity"]]
    assert points(api, hand, "learning_rate") == [[1, 0.5]]
    assert points(api, hand, "accuracy") == []
    assert points(api, classifier, "val_loss") == [[1, "NaN"]]
    assert points(api, classifier, "learning_rate") == [[1, 0.001]]
    assert points(api, classifier, "eval/dice.mean") == []


@pytest.mark.parametrize("kept", [None, {"loss": 9.0, "accuracy": 9.0, "val_loss": 9.0, "val_accuracy": 9.0}])
def test_a_row_that_the_previous_release_wrote_has_its_metrics(api: Api, kept: dict[str, float] | None) -> None:
    """It writes only the columns. If it replaces a row, the column `metrics` keeps the values of the old row."""
    hand = api.running()
    hand.epoch(1, 1, 1, row={"val_loss": "NaN"})
    with api.services.database.write() as session:
        session.execute(update(Epoch).where(Epoch.job_id == hand.job_id).values(metrics=kept))
    row = api.items(hand.job_id, "history")[0]
    assert row["metrics"] == {"loss": 1.0, "accuracy": 0.5, "val_loss": "NaN", "val_accuracy": 0.4}
    assert points(api, hand, "loss") == [[1, 1.0]]


def best(epoch: int) -> dict[str, Any]:
    return {"metric": "dice", "value": epoch / 10, "stage": 1, "epoch": epoch}


def test_an_attempt_deletes_the_rows_after_its_checkpoint(api: Api) -> None:
    lost = program(api)
    for epoch in (1, 2, 5, 6):
        record(lost, epoch, best=best(epoch), dice=epoch / 10, learning_rate=0.1)
    lost.finish("preempted")
    hand = claimed(api, lost.job_id)
    assert hand.roll_back_rows(2, best(2)).status_code == 204
    job, rows = api.job(hand.job_id), api.items(hand.job_id, "history")
    assert [row["epoch"] for row in rows] == [1, 2]
    assert (job["metrics"], job["best"]) == ({"dice": 0.2, "learning_rate": 0.1}, best(2))
    event = api.items(hand.job_id, "events")[-1]
    assert (event["kind"], event["actor"]) == ("rows_deleted", "worker:p1")
    assert event["data"] == {"attempt": 2, "fence": 2, "after_epoch": 2, "rows": 2}
    record(hand, 3, best=best(3), dice=0.3)
    assert (api.job(hand.job_id)["best"], points(api, hand, "dice")) == (best(3), [[1, 0.1], [2, 0.2], [3, 0.3]])


def test_where_nothing_was_recorded_later_nothing_changes(api: Api) -> None:
    hand = program(api)
    record(hand, 1, best=best(1), dice=0.1)
    before = api.job(hand.job_id)["best"], api.kinds(hand.job_id)
    for _ in range(2):
        assert hand.roll_back_rows(1).status_code == 204
    assert (api.job(hand.job_id)["best"], api.kinds(hand.job_id)) == before


def test_a_job_that_begins_again_has_no_rows(api: Api) -> None:
    hand = program(api)
    record(hand, 1, best=best(1), dice=0.1)
    assert hand.roll_back_rows(0).status_code == 204
    assert hand.roll_back_rows(0).status_code == 204  # again, after a lost answer
    job = api.job(hand.job_id)
    assert (job["metrics"], job["best"], api.items(hand.job_id, "history")) == ({}, None, [])
    assert api.kinds(hand.job_id).count("rows_deleted") == 1


def test_a_classifier_shows_the_metrics_of_the_row_that_stays(api: Api) -> None:
    hand = api.running()
    for epoch in (1, 2):
        hand.epoch(epoch, 1, epoch)
    assert hand.roll_back_rows(1).status_code == 204
    names = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
    assert api.job(hand.job_id)["metrics"] == dict(zip(names, (1.0, 0.5, 1.1, 0.4, 0.001), strict=True))
    assert [one["epochs_done"] for one in api.items(hand.job_id, "stages")] == [1, 0]


@pytest.mark.parametrize("after", [-1, 1.5, "1", None])
def test_a_rollback_names_a_whole_epoch(api: Api, after: Any) -> None:
    problem = assert_problem(program(api).post("epochs/rollback", after_epoch=after), 422, "invalid-request")
    assert [one["field"] for one in problem["errors"]] == ["after_epoch"]
