"""Actions on many jobs: which jobs are selected, preview, bounds, isolation, repetition."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from service.db.tables import Job
from service.usecases import bulk
from tests.service.audit_log import lines
from tests.service.helpers import ON_BOTH, ON_SQLITE, Api, assert_problem
from tests.service.query_recorder import asked
from tests.service.query_scans import whole_tables

pytestmark = ON_BOTH


def act(api: Api, action: str, **body: Any) -> dict[str, Any]:
    answer = api.http.post("/v1/jobs:bulk", json={"action": action, **body})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def some(api: Api) -> dict[str, str]:
    """Five jobs by a short name: two queued jobs of one team, a paused job, a running job, and an ended job."""
    red = {"team": "red", "draft": "yes"}
    found = {
        "a": api.submit(name="net-a", labels=red)["id"],
        "b": api.submit(name="net-b", labels={"team": "red"})["id"],
    }
    found["paused"] = api.submit(name="other.a", labels=red)["id"]
    api.ask(found["paused"], "pause")
    found["trains"] = api.submit(name="net-c")["id"]
    api.claim(found["trains"]).beat("training")
    found["ended"] = api.submit(name="net-d")["id"]
    api.ask(found["ended"], "cancel")
    return found


SELECTIONS: list[tuple[dict[str, Any], str]] = [
    ({"all": True}, "a b paused trains"),
    ({"filter": {"status": ["queued"]}}, "a b"),
    ({"filter": {"status": ["running", "queued", "paused"]}}, "a b paused trains"),
    ({"filter": {"label": ["team:red"]}}, "a b paused"),
    ({"filter": {"label": ["team:red", "draft:yes"]}}, "a paused"),
    ({"filter": {"label": ["team:red", "draft:yes"], "status": ["queued", "running"]}}, "a"),
    ({"filter": {"name": "net-*"}}, "a b trains"),
    ({"filter": {"name": "net-*", "status": ["cancelled"]}}, "ended"),
    ({"filter": {"name": "other.a"}}, "paused"),
    ({"filter": {"name": "other*b"}}, ""),
    ({"filter": {"name": "NET-*"}}, ""),
    ({"filter": {"name": "net_*"}}, ""),
    ({"filter": {"name": "*e*-*a*"}}, "a"),
    ({"filter": {"name": "*"}}, "a b paused trains"),
]


def test_a_preview_counts_and_shows_what_matches_and_changes_nothing(api: Api) -> None:
    jobs = some(api)
    before = [api.job(job_id)["version"] for job_id in jobs.values()]
    for selection, expected in SELECTIONS:
        with asked() as statements:
            found = act(api, "cancel", preview=True, **selection)
        wanted = {jobs[name] for name in expected.split()}
        assert (found["preview"]["number"], found["preview"]["more"], found["done"]) == (len(wanted), False, 0), (
            selection
        )
        assert {one["id"] for one in found["preview"]["jobs"]} == wanted, selection
        assert whole_tables(api, statements) == {}
    assert [api.job(job_id)["version"] for job_id in jobs.values()] == before


def test_a_name_with_many_stars_costs_no_more_than_another_name(api: Api) -> None:
    # A regular expression would need years for this, and no other thread would run in the meantime.
    job_id = api.submit(name="a" * 100)["id"]
    for name, number in (("*a" * 49 + "*b", 0), ("a*" * 50, 1)):
        assert act(api, "cancel", preview=True, filter={"name": name})["preview"]["number"] == number
    assert api.job(job_id)["status"] == "queued"


def test_what_can_be_done_is_done_the_rest_is_told_and_a_repetition_changes_nothing(api: Api) -> None:
    jobs = some(api)
    every: dict[str, Any] = {"filter": {"status": ["queued", "running", "paused", "pausing", "cancelled"]}, "expect": 5}
    found = act(api, "pause", **every)
    assert (found["done"], found["unchanged"], found["skipped"], found["left"], found["next_cursor"]) == (
        3,
        0,
        2,
        0,
        None,
    )
    assert {one["id"] for one in found["reasons"]} == {jobs["paused"], jobs["ended"]}
    assert all(one["why"] for one in found["reasons"])
    assert [api.job(jobs[name])["status"] for name in ("a", "b", "trains")] == ["paused", "paused", "pausing"]
    assert [one["kind"] for one in lines(api)[:3]] == ["job_pause_requested"] * 3
    again = act(api, "pause", **every)
    assert (again["done"], again["unchanged"], again["skipped"]) == (0, 1, 4)
    ids = [jobs["a"], jobs["b"], "0" * 32]
    resumed = act(api, "resume", ids=ids)
    assert (resumed["done"], [one["id"] for one in resumed["reasons"]]) == (2, ["0" * 32])
    assert act(api, "cancel", filter={"label": ["team:red"]})["done"] == 3
    relabelled = act(api, "label", filter={"label": ["team:red"]}, labels={"team": "blue", "draft": None})
    assert (relabelled["done"], api.job(jobs["paused"])["labels"]) == (3, {"team": "blue"})
    assert act(api, "label", ids=[jobs["a"]], labels={"team": "blue"})["unchanged"] == 1


def test_a_filter_deletes_no_protected_job_and_its_id_does(api: Api) -> None:
    jobs = [api.submit(name="old")["id"] for _ in range(2)]
    act(api, "cancel", filter={"name": "old"})
    assert api.http.patch(f"/v1/jobs/{jobs[0]}", json={"protected": True}).status_code == 200
    for selection in ({"filter": {"name": "old"}}, {"all": True}):
        found = act(api, "delete", **selection)
        assert [(one["id"], "it is protected" in one["why"]) for one in found["reasons"]] == [(jobs[0], True)]
    assert api.http.get(f"/v1/jobs/{jobs[1]}").status_code == 404
    assert act(api, "delete", ids=jobs[:1])["done"] == 1


def test_more_jobs_than_a_call_handles_are_left_for_the_next_calls(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MOST", 2)
    ids = [api.submit(labels={"of": "many"})["id"] for _ in range(5)]
    for job_id in ids[:2]:
        api.ask(job_id, "pause")
    for selection in ({"filter": {"status": ["queued", "paused"]}}, {"ids": ids}):
        calls, cursor = [], None
        while True:
            found = act(api, "label", labels={"by": next(iter(selection))}, cursor=cursor, expect=5, **selection)
            calls.append((found["done"], found["left"]))
            cursor = found["next_cursor"]
            if cursor is None:
                break
        assert calls == [(2, 3), (2, 1), (1, 0)]


def test_a_bad_row_is_skipped_alone(api: Api) -> None:
    ids = [api.submit()["id"] for _ in range(3)]
    with api.services.database.write() as session:
        session.execute(update(Job).where(Job.id == ids[1]).values(spec={"name": 7}))
    found = act(api, "label", ids=ids, labels={"team": "red"})
    assert (found["done"], [one["id"] for one in found["reasons"]]) == (2, [ids[1]])


# One service for all cases: a start costs more than the requests.
UNCLEAR: list[tuple[dict[str, Any], str, str]] = [
    ({"action": "cancel"}, "filter", "all: true"),
    ({"action": "cancel", "filter": {}}, "filter", "all: true"),
    ({"action": "cancel", "ids": []}, "ids", "at least 1"),
    ({"action": "cancel", "all": True, "filter": {"name": "x"}}, "filter", "exactly one"),
    ({"action": "destroy", "all": True}, "action", "must be one of cancel, pause"),
    ({"action": "label", "all": True}, "labels", "must be set"),
    ({"action": "cancel", "all": True, "labels": {"a": "b"}}, "labels", "no other"),
    ({"action": "cancel", "filter": {"status": ["idle"]}}, "filter.status.0", "must be"),
    ({"action": "cancel", "filter": {"label": ["team"]}}, "filter.label.0", "key:value"),
]


@ON_SQLITE
def test_a_selection_that_is_not_clear_is_refused(api: Api) -> None:
    for body, field, text in UNCLEAR:
        problem = assert_problem(api.http.post("/v1/jobs:bulk", json=body), 422, "invalid-request")
        found = [text in error["message"] for error in problem["errors"] if error["field"] == field]
        assert found == [True], (body, problem)


@ON_SQLITE
def test_another_number_than_in_the_preview_is_refused(api: Api) -> None:
    job_id = api.submit()["id"]
    body = {"action": "cancel", "all": True, "expect": 2}
    assert "1 jobs match now" in assert_problem(api.http.post("/v1/jobs:bulk", json=body), 409, "conflict")["detail"]
    assert api.job(job_id)["status"] == "queued"
