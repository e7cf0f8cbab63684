"""Series: stored once, thinned without loss of peaks, rolled back at a restore, read with fewer points and as CSV."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select

from baton.domain.series import BATCH_POINTS, MOST_NAMES, Point, thinned, width_for
from service.db.tables import SeriesPoint
from service.usecases import series
from tests.service.helpers import ON_BOTH, Api, WorkerHand, assert_problem
from tests.service.query_recorder import asked
from tests.service.query_scans import whole_tables
from tests.service.starting_points import saved, start_from

MOST = 100
"""The lowest setting, so that few points are thinned."""


@pytest.fixture
def small(start: Callable[..., Api]) -> Api:
    return start(series_points=MOST)


def shown(api: Api, job_id: str, *names: str, points: int = 100_000) -> dict[str, dict[str, Any]]:
    """The series of a job by name, with the points of those that are named."""
    params: Any = [("points", points), *(("name", name) for name in names)]
    answer = api.http.get(f"/v1/jobs/{job_id}/series", params=params)
    assert answer.status_code == 200, answer.text
    return {one["name"]: one for one in answer.json()["items"]}


def curve(api: Api, job_id: str, name: str = "loss") -> list[tuple[int, float]]:
    return [(step, float(value)) for step, value, _at in shown(api, job_id, name)[name]["points"]]


def send(hand: WorkerHand, values: list[tuple[int, float]], size: int = 40, name: str = "loss") -> None:
    for begin in range(0, len(values), size):
        answer = hand.series(**{name: values[begin : begin + size]})
        assert answer.status_code == 200, answer.text


def noise(count: int, seed: int = 7) -> list[tuple[int, float]]:
    draw = random.Random(seed)
    return [(step, round(draw.gauss(0, 1), 2)) for step in range(count)]


def kept(values: list[tuple[int, float]]) -> tuple[int, list[tuple[int, float]]]:
    """The width of the buckets, and the points that a series of these points keeps."""
    points = [Point(step, value, 0.0) for step, value in values]
    width = width_for(points, 1, MOST)
    return width, [(point.step, point.value) for point in thinned(points, width)]


@ON_BOTH
def test_points_are_stored_once_and_the_list_tells_about_them(api: Api) -> None:
    hand = api.running()
    for _ in range(2):
        answer = hand.series(loss=[(0, 2.0), (1, 1.0), (1, 1.5)], **{"val/acc": [(1, 0.25)]})
        assert (answer.status_code, answer.json()) == (200, {"left_out": []})
    assert hand.series(loss=[(3, 9.0), (2, math.nan)], accuracy=[]).status_code == 200
    assert hand.series(loss=[(3, 3.0)]).status_code == 200  # replaces 9.0, which was the maximum
    assert shown(api, hand.job_id) == {
        "loss": {
            "name": "loss", "count": 4, "width": 1, "first_step": 0, "last_step": 3, "last": 3.0, "last_at": 1.8e9,
            "minimum": 1.5, "maximum": 3.0, "points": [],
        },
        "val/acc": {
            "name": "val/acc", "count": 1, "width": 1, "first_step": 1, "last_step": 1, "last": 0.25, "last_at": 1.8e9,
            "minimum": 0.25, "maximum": 0.25, "points": [],
        },
    }  # fmt: skip
    named = shown(api, hand.job_id, "loss")
    assert list(named) == ["loss"]
    assert named["loss"]["points"] == [[0, 2.0, 1.8e9], [1, 1.5, 1.8e9], [2, "NaN", 1.8e9], [3, 3.0, 1.8e9]]


@ON_BOTH
def test_a_long_series_is_thinned_and_keeps_its_peaks_and_ends(small: Api) -> None:
    hand, values = small.running(), noise(1_000)
    with asked() as statements:
        send(hand, values)
    assert whole_tables(small, statements) == {}
    width, expected = kept(values)
    found = shown(small, hand.job_id, "loss")["loss"]
    assert (found["width"], found["count"]) == (width, len(expected))
    assert MOST / 2 < len(expected) <= MOST + 2
    assert curve(small, hand.job_id) == expected
    assert (found["minimum"], found["maximum"]) == (min(v for _, v in values), max(v for _, v in values))


@pytest.mark.parametrize("seed", range(4))
def test_an_interrupted_series_ends_like_one_that_was_not(small: Api, seed: int) -> None:
    """Batches of any size, in any order within a batch, and restores at any step leave the same points."""
    draw = random.Random(seed)
    hand, values = small.running(), noise(900, seed)
    position = 0
    while position < len(values):
        batch = values[position : position + draw.randrange(1, 120)]
        draw.shuffle(batch)
        send(hand, batch, size=1_000)
        position += len(batch)
        if draw.random() < 0.2:
            position = draw.randrange(position)
            assert hand.roll_back(position - 1).status_code == 204
            assert all(step < position for step, _ in (curve(small, hand.job_id) if position else []))
    assert curve(small, hand.job_id) == kept(values)[1]


@ON_BOTH
def test_a_rollback_deletes_later_points_in_small_transactions_and_keeps_system_metrics(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series, "ROLLBACK_ROWS", 2)
    hand = api.running()
    points = [(step, float(step)) for step in range(6)]
    assert hand.series(a=points, b=points, c=[(9, 1.0)], **{"system/cpu": [(1_800_000_000, 50.0)]}).status_code == 200
    with asked() as statements:
        assert hand.roll_back(2).status_code == 204
    assert whole_tables(api, statements) == {}
    left = shown(api, hand.job_id)
    assert {name: (one["count"], one["last_step"]) for name, one in left.items()} == {
        "a": (3, 2), "b": (3, 2), "system/cpu": (1, 1_800_000_000),
    }  # fmt: skip
    assert (left["a"]["last"], left["a"]["maximum"]) == (2.0, 2.0)
    assert hand.roll_back(-1).status_code == 204
    assert list(shown(api, hand.job_id)) == ["system/cpu"]


def test_a_job_has_a_bounded_number_of_series(api: Api) -> None:
    hand = api.running()
    assert hand.series(**{f"m{number}": [(1, 1.0)] for number in range(MOST_NAMES)}).status_code == 200
    answer = hand.series(m0=[(2, 1.0)], more=[(1, 1.0)], other=[(1, 1.0)])
    assert answer.json() == {"left_out": ["more", "other"]}
    found = shown(api, hand.job_id)
    assert (len(found), found["m0"]["count"]) == (MOST_NAMES, 2)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "1st"}, "points.0.name"),
        ({"name": "a b"}, "points.0.name"),
        ({"name": "a" * 101}, "points.0.name"),
        ({"step": -1}, "points.0.step"),
        ({"step": 1.5}, "points.0.step"),
        ({"value": "high"}, "points.0.value"),
        ({"at": -1}, "points.0.at"),
        ({"at": "Infinity"}, "points.0.at"),
    ],
)
def test_a_bad_point_is_refused_with_its_place(api: Api, change: dict[str, Any], field: str) -> None:
    hand = api.running()
    point = {"name": "loss", "step": 1, "value": 0.5, "at": 1.8e9, **change}
    problem = assert_problem(hand.post("series", points=[point]), 422, "invalid-request")
    assert [one["field"] for one in problem["errors"]] == [field]
    assert shown(api, hand.job_id) == {}


def test_a_full_batch_fits_into_a_request(api: Api) -> None:
    hand = api.running()
    point = {"name": "m" * 100, "value": -1.2345678901234567e-300, "at": 1_800_000_000.123456}
    points = [{**point, "step": 2**53 - step} for step in range(BATCH_POINTS)]
    assert hand.post("series", points=points).status_code == 200
    assert shown(api, hand.job_id)["m" * 100]["count"] == BATCH_POINTS
    assert_problem(hand.post("series", points=[*points, points[0]]), 422, "invalid-request")


def test_points_for_a_chart_have_the_peaks(api: Api) -> None:
    hand = api.running()
    values = [(step, 50.0 if step == 1_234 else float(step % 10)) for step in range(3_000)]
    send(hand, values, size=3_000)
    found = shown(api, hand.job_id, "loss", points=100)["loss"]["points"]
    assert len(found) <= 102
    assert (found[0][0], found[-1][0]) == (0, 2_999)
    assert [1_234, 50.0, 1.8e9] in found
    assert len(shown(api, hand.job_id, "loss", points=5_000)["loss"]["points"]) == 3_000


def test_csv_has_all_points(api: Api) -> None:
    hand = api.running()
    assert hand.series(loss=[(0, 1.5), (1, math.inf), (2, math.nan)], a=[(7, 0.1)]).status_code == 200
    url, accept = f"/v1/jobs/{hand.job_id}/series", {"Accept": "text/csv"}
    answer = api.http.get(url, headers=accept)
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert list(csv.reader(answer.text.splitlines())) == [
        ["name", "step", "value", "at"],
        ["a", "7", "0.1", "1800000000.0"],
        ["loss", "0", "1.5", "1800000000.0"],
        ["loss", "1", "Infinity", "1800000000.0"],
        ["loss", "2", "NaN", "1800000000.0"],
    ]
    assert api.http.get(f"{url}?name=a", headers=accept).text.count("\n") == 2
    assert_problem(api.http.get(f"{url}?name=b", headers=accept), 404, "not-found")


def test_an_unknown_name_gets_the_known_ones(api: Api) -> None:
    hand = api.running()
    url = f"/v1/jobs/{hand.job_id}/series?name=lost"
    assert "none yet" in assert_problem(api.http.get(url), 404, "not-found")["detail"]
    hand.series(loss=[(1, 1.0)], accuracy=[(1, 1.0)])
    assert "accuracy, loss" in assert_problem(api.http.get(url), 404, "not-found")["detail"]


def test_a_job_from_another_starts_without_its_points(api: Api) -> None:
    hand = api.running()
    hand.series(loss=[(1, 1.0)])
    saved(hand, (0, 1, 0, 10), "latest")
    for job in (start_from(api, hand.job_id), api.submit({"clone": hand.job_id})):
        assert shown(api, job["id"]) == {}
    assert len(curve(api, hand.job_id)) == 1


def test_points_outlive_the_attempt(api: Api) -> None:
    hand = api.running()
    hand.series(loss=[(1, 1.0)])
    hand.finish("preempted")
    successor = api.claim(hand.job_id, "w2")
    assert successor.series(loss=[(2, 0.5)]).status_code == 200
    assert curve(api, hand.job_id) == [(1, 1.0), (2, 0.5)]
    with api.services.database.read() as session:
        assert session.scalar(select(func.count()).select_from(SeriesPoint)) == 2
