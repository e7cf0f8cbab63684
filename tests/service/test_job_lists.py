"""Lists of jobs: filters, sorts, pages and cursors."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from service.db.tables import Job, JobLabel, JobMetric
from service.db.unit_of_work import Unit
from service.usecases import job_list, job_metrics
from service.usecases.job_query import JobQuery
from service.usecases.paging import Rows, Sort
from tests.service.helpers import ON_BOTH, Api

pytestmark = ON_BOTH
START = datetime(2026, 1, 1, tzinfo=UTC)
JOBS = 60
STATES = ("queued", "running", "succeeded", "failed", "cancelled")
NAMES = ("resnet-a", "resnet-b", "Resnet-a", "vit", "x_y.z")
STATUS_FILTERS = ([], ["failed"], ["failed", "running"], ["pausing", "queued", "cancelled"])
SORTS = ("created", "ended", "name", "status", "metric:val_loss", "metric:best:accuracy")


@pytest.fixture
def jobs(api: Api) -> list[dict[str, Any]]:
    """Many jobs with drawn properties, written directly into the tables."""
    drawn, template = random.Random(7), api.submit()
    found = []
    with api.services.database.write() as session:
        row = session.scalars(select(Job)).one()
        base = {column.name: getattr(row, column.name) for column in Job.__table__.columns if column.name != "number"}
        for k in range(JOBS):
            state = drawn.choice(STATES)
            ended = state in STATES[2:]
            job = {
                "id": f"{k:02x}{drawn.getrandbits(120):030x}",
                "name": drawn.choice(NAMES),
                "queue": drawn.choice(("default", "gpu")),
                "owner": drawn.choice(("ada", "bob", None)),
                "project": drawn.choice(("default", "vision")),
                "state": state,
                "desired": "pause" if state == "running" and drawn.random() < 0.4 else "run",
                "created_at": START + timedelta(hours=k),
                "finished_at": START + timedelta(hours=drawn.randrange(200)) if ended else None,
                "labels": {"team": drawn.choice(("red", "blue")), "user": drawn.choice(("ada", "bob"))},
            }
            metrics = {"val_loss": drawn.choice((0.25, 0.5, 1.0, float("inf")))} if drawn.random() < 0.7 else {}
            metrics |= {"best:accuracy": drawn.random()} if drawn.random() < 0.5 else {}
            number = session.execute(insert(Job).values(**{**base, **job, "events": 0})).inserted_primary_key[0]
            labels = [{"job_number": number, "key": key, "value": value} for key, value in job["labels"].items()]
            session.execute(insert(JobLabel), labels)
            if metrics:
                rows = [{"job_number": number, "name": name, "value": value} for name, value in metrics.items()]
                session.execute(insert(JobMetric), rows)
            found.append({**job, "number": number, "metrics": metrics})
        session.execute(update(Job).where(Job.id == template["id"]).values(deleted_at=START))
    return found


def status(job: dict[str, Any]) -> str:
    return "pausing" if job["desired"] == "pause" else str(job["state"])


def key_of(sort: str) -> Callable[[dict[str, Any]], Any]:
    """The sort key of a job; None: the list leaves it out."""
    if sort.startswith("metric:"):
        return lambda job: job["metrics"].get(sort.removeprefix("metric:"))
    return {
        "created": lambda job: job["number"],
        "ended": lambda job: job["finished_at"],
        "name": lambda job: job["name"],
        "status": lambda job: job["state"],
    }[sort]


def filters(drawn: random.Random) -> dict[str, Any]:
    """Some filters."""
    hours = sorted(drawn.sample(range(210), 2))
    first, last = ((START + timedelta(hours=hour, minutes=30)).isoformat() for hour in hours)
    known: dict[str, Any] = {
        "status": drawn.choice(STATUS_FILTERS),
        "label": drawn.choice((["team:red"], ["team:red", "user:ada"], ["team:green"])),
        "name": drawn.choice((*NAMES, "resnet-*", "r*", "nothing")),
        "queue": drawn.choice(("default", "gpu", "other")),
        "owner": drawn.choice(("ada", "eve")),
        "project": drawn.choice(("default", "vision")),
        "id": drawn.choice(("1", "0", "ff")),
        "created_after": first,
        "created_before": last,
        "ended_after": first,
        "ended_before": last,
        "metric": drawn.choice((["val_loss<0.5"], ["val_loss>=0.5"], ["best:accuracy>0.5", "val_loss<=1e0"])),
    }
    return {name: known[name] for name in drawn.sample(sorted(known), drawn.choice((0, 1, 1, 2, 3)))}


def matches(job: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """The filters again, in Python."""
    times = {name: datetime.fromisoformat(wanted[name]) for name in wanted if name.endswith(("after", "before"))}
    ended = job["finished_at"]
    name = wanted.get("name", "*")
    checks = [
        not wanted.get("status") or status(job) in wanted["status"],
        all(job["labels"].get(one.partition(":")[0]) == one.partition(":")[2] for one in wanted.get("label", ())),
        job["name"].startswith(name[:-1]) if name.endswith("*") else job["name"] == name,
        all(job[column] == wanted.get(column, job[column]) for column in ("queue", "owner", "project")),
        job["id"].startswith(wanted.get("id", "")),
        "created_after" not in times or job["created_at"] > times["created_after"],
        "created_before" not in times or job["created_at"] < times["created_before"],
        "ended_after" not in times or (ended is not None and ended > times["ended_after"]),
        "ended_before" not in times or (ended is not None and ended < times["ended_before"]),
        all(bounded(job["metrics"], one) for one in wanted.get("metric", ())),
    ]
    return all(checks)


def bounded(metrics: dict[str, float], text: str) -> bool:
    sign = next(sign for sign in ("<=", ">=", "<", ">") if sign in text)
    name, _, bound = text.partition(sign)
    value, limit = metrics.get(name), float(bound)
    if value is None:
        return False
    return {"<": value < limit, "<=": value <= limit, ">": value > limit, ">=": value >= limit}[sign]


def pages(api: Api, wanted: dict[str, Any], limit: int) -> Iterator[dict[str, Any]]:
    cursor: dict[str, Any] = {}
    while True:
        answer = api.http.get("/v1/jobs", params={**wanted, **cursor, "limit": limit})
        assert answer.status_code == 200, answer.text
        yield from answer.json()["items"]
        assert len(answer.json()["items"]) <= limit
        if answer.json()["next_cursor"] is None:
            return
        cursor = {"cursor": answer.json()["next_cursor"]}


@pytest.mark.parametrize(("few", "scanned", "least"), [(1000, 1000, 64), (-1, 70, 3), (5, 7, 64)])
def test_every_filter_with_every_sort(
    api: Api, jobs: list[dict[str, Any]], few: int, scanned: int, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the three ways to find a page finds the same jobs in the same order."""
    monkeypatch.setattr(job_list, "FEW", few)
    monkeypatch.setattr(job_list, "SCANNED", scanned)
    monkeypatch.setattr(job_list, "LEAST_SCANNED", least)
    monkeypatch.setattr(job_list, "GROWTH", 2)
    drawn = random.Random(few)
    for k in range(60):
        wanted, key, descending = filters(drawn), drawn.choice(SORTS), drawn.random() < 0.5
        found = [job["id"] for job in pages(api, {**wanted, "sort": f"{'-' * descending}{key}"}, (3, 10, 200)[k % 3])]
        of = key_of(key)
        expected = [job for job in jobs if matches(job, wanted) and of(job) is not None]
        expected.sort(key=lambda job: (of(job), job["number"]), reverse=descending)
        assert found == [job["id"] for job in expected], (wanted, key, descending)


def test_a_caller_of_one_project_sees_its_jobs_alone(api: Api, jobs: list[dict[str, Any]]) -> None:
    with api.services.database.read() as session:
        session.info["project"] = "vision"
        unit = Unit(session)
        for wanted in (JobQuery(), JobQuery(project="vision"), JobQuery(sort=Sort.parse("-name"))):
            found = job_list.page(unit, wanted, None, 200).rows
            assert {job.id for job in found} == {job["id"] for job in jobs if job["project"] == "vision"}
        assert job_list.page(unit, JobQuery(project="default"), None, 200) == Rows([], None)


def test_a_summary_has_all_but_the_spec(api: Api) -> None:
    made = api.submit()
    full, short = (api.http.get("/v1/jobs", params={"view": view}).json()["items"][0] for view in ("full", "summary"))
    assert full["spec"] == made["spec"]
    grows = {"as_of", "goodput"}
    assert set(full) - set(short) == {"spec"}
    assert {key: full[key] for key in set(short) - grows} == {key: short[key] for key in set(short) - grows}


def test_a_cursor_belongs_to_its_list_its_sort_and_its_filters(api: Api) -> None:
    for _ in range(3):
        api.submit()
    cursor = api.http.get("/v1/jobs", params={"limit": 1, "sort": "name"}).json()["next_cursor"]
    for params, message in (
        (
            {"sort": "-name"},
            "cursor: is a cursor of the sort 'name', and this page is sorted by -name: repeat that sort",
        ),
        ({"sort": "name", "queue": "gpu"}, "cursor: is a cursor of other filters"),
        ({"sort": "name", "cursor": "x" * 30}, "cursor: is not a cursor from a page"),
        ({"sort": "name", "cursor": "W10"}, "cursor: is not a cursor from a page"),
        ({"sort": "name", "cursor": "x y"}, "cursor: is not a cursor from a page"),
    ):
        answer = api.http.get("/v1/jobs", params={"cursor": cursor, **params})
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(message)
        assert [one["field"] for one in answer.json()["errors"]] == ["cursor"]
    other = api.http.get("/v1/tokens", params={"cursor": cursor})
    assert (other.status_code, "of the list 'jobs'" in other.json()["detail"]) == (422, True)


def test_a_cursor_of_an_older_release_still_works(api: Api) -> None:
    ids = [api.submit()["id"] for _ in range(3)]
    page = api.http.get("/v1/jobs", params={"cursor": "3"}).json()
    assert [job["id"] for job in page["items"]] == ids[1::-1]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"sort": "size"}, "sort"),
        ({"sort": "metric:"}, "sort"),
        ({"name": "a*b"}, "name"),
        ({"metric": "loss"}, "metric"),
        ({"metric": "loss<nan"}, "metric"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"ended_before": "0.5"}, "ended_before"),
        ({"status": "bored"}, "status"),
    ],
)
def test_what_is_wrong_is_named(api: Api, params: dict[str, str], field: str) -> None:
    answer = api.http.get("/v1/jobs", params=params)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def metrics_of(api: Api) -> dict[str, float]:
    with api.services.database.read() as session:
        return dict(session.execute(select(JobMetric.name, JobMetric.value)).all())


def test_metrics_are_listed_as_they_are_written(api: Api) -> None:
    hand = api.running()
    best = {"metric": "val_loss", "value": 0.25, "stage": 1, "epoch": 1}
    row = {"loss": 2.0, "val_loss": 0.25, "accuracy": "NaN", "val_accuracy": 0.5}
    assert hand.epoch(1, 1, 1, row=row, best=best).status_code == 200
    wanted = {"loss": 2.0, "val_loss": 0.25, "val_accuracy": 0.5, "learning_rate": 0.001, "best:val_loss": 0.25}
    assert metrics_of(api) == wanted
    assert hand.epoch(2, 1, 2, row={"loss": 1.0, "val_loss": "Infinity", "accuracy": 0.5}).status_code == 200
    assert metrics_of(api) == {**wanted, "loss": 1.0, "val_loss": float("inf"), "accuracy": 0.5, "val_accuracy": 0.4}
    assert hand.post("epochs/rollback", after_epoch=0, best=None).status_code == 204
    assert metrics_of(api) == {}


def test_metrics_that_an_older_release_wrote_are_added(api: Api) -> None:
    paused, ended = api.submit()["id"], api.running()
    assert ended.epoch(1, 1, 1).status_code == 200
    ended.finish("succeeded")
    with api.services.database.write() as session:
        old = {"metrics": {"loss": 0.5, "dice": "NaN"}, "best": {"metric": "loss", "value": 0.25}}
        session.execute(update(Job).where(Job.id == paused).values(**old, metrics_listed=None))
        session.execute(update(Job).where(Job.id == ended.job_id).values(metrics={"loss": 7.0}))
    api.conduct()
    found = api.http.get("/v1/jobs", params={"sort": "metric:loss"}).json()["items"]
    assert [job["id"] for job in found] == [paused, ended.job_id]
    assert [job["id"] for job in api.http.get("/v1/jobs", params={"metric": "best:loss<=0.25"}).json()["items"]] == [
        paused
    ]
    with api.services.database.read() as session:
        marks = dict(session.execute(select(Job.id, Job.metrics_listed)).all())
    assert marks == {paused: job_metrics.LISTED, ended.job_id: job_metrics.FINAL}
