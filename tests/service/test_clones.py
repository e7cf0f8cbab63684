"""A job made from the spec of another job: its changes, its data, its lineage, and errors that name the field."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import update

from service.db.tables import Job
from service.db.types import db_now
from tests.service.helpers import Api, assert_problem
from tests.service.pushes import Push, submit


def test_a_clone_has_the_same_spec_with_changes_and_both_show_it(api: Api) -> None:
    first = api.submit(labels={"team": "vision"}, queue="gpu")
    body = {"clone": first["id"], "set": {"stages.0.epochs": 7}, "name": "again"}
    second = api.submit(body)
    third = api.submit({"clone": second["id"]})
    assert second["spec"] == {**first["spec"], "name": "again", "stages": second["spec"]["stages"]}
    assert [stage["epochs"] for stage in second["spec"]["stages"]] == [7, 1]
    assert (second["queue"], second["labels"], third["name"]) == ("gpu", {"team": "vision"}, "again")
    made_from = {"kind": "clone", "job": first["id"], "name": "small", "checkpoint": None, "deleted": False}
    assert (api.job(second["id"])["source"], first["source"]) == (made_from, None)
    submitted = api.items(second["id"], "events")[0]
    assert submitted["message"] == f"job again submitted, a clone of job small ({first['id']})"
    fourth = api.submit({"clone": first["id"]})
    url = f"/v1/jobs/{first['id']}/children?limit=1"
    page = api.http.get(url).json()
    assert [job["id"] for job in page["items"]] == [fourth["id"]]
    rest = api.http.get(f"{url}&cursor={page['next_cursor']}").json()
    assert ([job["id"] for job in rest["items"]], rest["next_cursor"]) == ([second["id"]], None)
    assert api.claim(second["id"]).beat().status_code == 200


def test_a_source_that_is_deleted_is_still_named(api: Api) -> None:
    first = api.submit()
    second = api.submit({"clone": first["id"]})
    with api.services.database.write() as session:
        session.execute(update(Job).where(Job.id == first["id"]).values(deleted_at=db_now()))
    source = api.job(second["id"])["source"]
    assert (source["job"], source["name"], source["deleted"]) == (first["id"], "small", True)
    refused = assert_problem(api.http.post("/v1/jobs", json={"clone": first["id"]}), 422, "invalid-spec")
    assert refused["errors"][0]["field"] == "clone"


def test_a_clone_trains_on_the_same_version_of_pushed_data(api: Api) -> None:
    Push().push(api, "photos")
    first = submit(api, "photos").json()
    pinned = first["spec"]["dataset"]["data"]
    Push(files={"a/one.png": b"other"}).push(api, "photos")
    second = api.submit({"clone": first["id"]})
    assert second["spec"]["dataset"]["data"] == pinned
    newest = api.submit({"clone": first["id"], "set": {"dataset.data": "photos"}})
    assert newest["spec"]["dataset"]["data"] != pinned


def test_a_preview_of_a_clone(api: Api) -> None:
    first = api.submit()
    answer = api.http.post("/v1/plans:preview", json={"clone": first["id"], "set": {"stages.1.epochs": 4}})
    assert [stage["epochs"] for stage in answer.json()["stages"]] == [2, 4]


# One service for all cases: a start costs more than the requests.
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"clone": "f" * 32}, "clone"),
    ({"clone": "no id"}, "clone"),
    ({"clone": 3}, "clone"),
    ({"clone": "JOB", "plan": "digits-demo"}, "clone"),
    ({"clone": "JOB", "sets": {}}, "sets"),
    ({"clone": "JOB", "set": {"stages.0.epochs": 0}}, "stages.0.epochs"),
    ({"clone": "JOB", "name": "a b"}, "name"),
    ({"from": {"job": "f" * 32}}, "from.job"),
    ({"from": {"job": "JOB", "checkpoint": "newest"}}, "from.checkpoint"),
    ({"from": {"job": "JOB", "checkpoint": -1}}, "from.checkpoint"),
    ({"from": {"job": "JOB"}}, "from.checkpoint"),
    ({"from": "JOB"}, "from"),
]


def test_errors_name_the_field(api: Api) -> None:
    job_id = api.submit()["id"]
    for body, field in REFUSED:
        text = json.dumps(body).replace("JOB", job_id)
        answer = api.http.post("/v1/jobs", content=text, headers={"content-type": "application/json"})
        problem = assert_problem(answer, 422, "invalid-spec")
        assert [error["field"] for error in problem["errors"]] == [field], body
