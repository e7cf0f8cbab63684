"""Submitting jobs: specs, plans, YAML, idempotency, and invalid input."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import yaml

from tests.service.helpers import ON_BOTH, ON_SQLITE, SPEC, Api, assert_problem, spec

pytestmark = ON_BOTH


def test_a_job_is_recorded_with_its_stages_and_first_attempt(api: Api) -> None:
    answer = api.http.post("/v1/jobs", json=spec(labels={"team": "vision"}))
    assert answer.status_code == 201
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert answer.headers["etag"].startswith(f'W/"{job["version"]}-')
    assert (job["status"], job["attempts"], job["goodput"]["goodput"]) == ("queued", 1, 0.0)
    assert job["spec"]["optimizer"]["name"] == "adam"
    stages = api.items(job["id"], "stages")
    assert [(s["stage"], s["name"], s["state"], s["epochs_done"]) for s in stages] == [
        (1, "warm", "waiting", 0),
        (2, "polish", "waiting", 0),
    ]
    assert [(a["attempt"], a["state"], a["fence"]) for a in api.items(job["id"], "attempts")] == [(1, "queued", 0)]
    assert api.kinds(job["id"]) == ["submitted", "queued"]
    assert api.items(job["id"], "events")[0]["actor"] == "user"


@pytest.mark.parametrize("media", ["application/yaml", "text/yaml; charset=utf-8"])
def test_yaml_is_as_good_as_json(api: Api, media: str) -> None:
    text = yaml.safe_dump(SPEC) + "optimizer: {learning_rate: 1e-3}\n"
    answer = api.http.post("/v1/jobs", content=text, headers={"content-type": media})
    assert answer.status_code == 201
    assert answer.json()["spec"]["optimizer"]["learning_rate"] == 1e-3


def test_a_plan_with_changes(api: Api) -> None:
    job = api.submit({"plan": "digits-demo", "set": {"stages.*.epochs": 1, "name": "quick"}})
    assert job["name"] == "quick"
    assert [s["epochs"] for s in job["spec"]["stages"]] == [1, 1, 1, 1]
    assert [s["name"] for s in job["spec"]["stages"]] == ["warm-16", "grow-32", "augmented-16", "polish-32"]
    assert [s["image_size"] for s in job["spec"]["stages"]] == [16, 32, 16, 32]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"plan": "nonesuch"}, "plan"),
        ({"plan": "../../etc/passwd"}, "plan"),
        ({"plan": 3}, "plan"),
        ({"plan": "digits-demo", "name": "x"}, "name"),
        ({"plan": "digits-demo", "set": [1]}, "set"),
        ({"plan": "digits-demo", "set": {"stages.9.epochs": 1}}, "stages.9.epochs"),
        ({"plan": "digits-demo", "set": {"stages.0.epochs": 0}}, "stages.0.epochs"),
        ({"plan": "digits-demo", "set": {"nonesuch": 0}}, "nonesuch"),
    ],
)
@ON_SQLITE
def test_a_plan_that_cannot_be(api: Api, body: dict[str, Any], field: str) -> None:
    problem = assert_problem(api.http.post("/v1/jobs", json=body), 422, "invalid-spec")
    assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"network": {"name": "network-9"}}, "network.name"),
        ({"stages": [{**SPEC["stages"][0], "batch_size": 0}]}, "stages.0.batch_size"),
        ({"stages": [{**SPEC["stages"][0], "image_size": 20}]}, "stages.0.image_size"),
        ({"stages": [{"image_size": 16}]}, "stages.0.epochs"),
        ({"stages": []}, "stages"),
        ({"dataset": {"name": "image-folder"}}, "dataset.path"),
        ({"labels": {"a b": "c"}}, "labels.a b"),
        ({"priority": "urgent"}, "priority"),
        ({"colour": "red"}, "colour"),
    ],
)
@ON_SQLITE
def test_a_bad_spec_names_its_field(api: Api, changes: dict[str, Any], field: str) -> None:
    problem = assert_problem(api.http.post("/v1/jobs", json=spec(**changes)), 422, "invalid-spec")
    assert field in [error["field"] for error in problem["errors"]]
    assert all(error["message"] for error in problem["errors"])
    assert api.http.get("/v1/jobs").json()["items"] == []


def test_nan_in_a_spec_names_its_field(api: Api) -> None:
    schedule = {"name": "reduce_on_plateau", "min_delta": 1.25}
    text = json.dumps(spec(stages=[{"epochs": 1, "schedule": schedule}])).replace("1.25", "1e999")
    answer = api.http.post("/v1/jobs", content=text, headers={"content-type": "application/json"})
    problem = assert_problem(answer, 422, "invalid-spec")
    assert [error["field"] for error in problem["errors"]] == ["stages.0.schedule.min_delta"]


@pytest.mark.parametrize("body", [[], "text", 3, True])
@ON_SQLITE
def test_a_spec_that_is_no_mapping(api: Api, body: Any) -> None:
    problem = assert_problem(api.http.post("/v1/jobs", json=body), 422, "invalid-spec")
    assert problem["errors"]


ALIASES = "a: &a [1, 1]\nb: &b [*a, *a]\n"


@pytest.mark.parametrize(
    ("media", "content"),
    [
        ("application/json", b"{"),
        ("application/json", b""),
        ("application/json", b"\xff"),
        ("application/json", b'{"name": NaN}'),
        ("application/json", b"[" * 100_000),
        ("application/json", b"[" * 40 + b"]" * 40),
        ("application/json", b"1" * 5000),
        ("application/yaml", b"a: ["),
        ("application/yaml", b"\xff\xfe\xff"),
        ("application/yaml", b"a: !!python/object/apply:os.system [ls]"),
        ("application/yaml", ALIASES.encode()),
        ("application/yaml", b"[" * 50_000),
        ("application/yaml", b"a" * 300_000),
        ("application/yaml", b"1: 2\na: 3"),
        ("application/yaml", b'a: "\\0"'),
        ("application/json", b'{"\\ud800": 1}'),
        ("application/json", b'{"name": "a\\u0000"}'),
    ],
)
@ON_SQLITE
def test_a_body_that_cannot_be_read(api: Api, media: str, content: bytes) -> None:
    answer = api.http.post("/v1/jobs", content=content, headers={"content-type": media})
    assert_problem(answer, 400, "malformed-body")


@pytest.mark.parametrize("media", [None, "text/plain", "application/x-www-form-urlencoded"])
@ON_SQLITE
def test_a_body_of_another_kind(api: Api, media: str | None) -> None:
    answer = api.http.post("/v1/jobs", content=b"{}", headers={"content-type": media} if media else {})
    assert_problem(answer, 415, "unsupported-media-type")


def test_the_same_key_again_is_the_same_job(api: Api) -> None:
    headers = {"Idempotency-Key": "once"}
    first = api.http.post("/v1/jobs", json=spec(), headers=headers)
    again = api.http.post("/v1/jobs", content=yaml.safe_dump(SPEC), headers={**headers, "content-type": "text/yaml"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = api.http.post("/v1/jobs", json=spec(seed=7), headers=headers)
    assert_problem(other, 422, "idempotency-key-reused")
    assert len(api.http.get("/v1/jobs").json()["items"]) == 1


def test_a_refused_submission_leaves_its_key_free(api: Api) -> None:
    headers = {"Idempotency-Key": "k"}
    assert api.http.post("/v1/jobs", json=spec(seed=-1), headers=headers).status_code == 422
    assert api.http.post("/v1/jobs", json=spec(), headers=headers).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_malformed_idempotency_key_is_refused(api: Api, key: str) -> None:
    problem = assert_problem(
        api.http.post("/v1/jobs", json=spec(), headers={"Idempotency-Key": key}), 422, "invalid-request"
    )
    assert problem["errors"][0]["field"] == "Idempotency-Key"


def test_racing_submissions_with_one_key_make_one_job(api: Api) -> None:
    def submit(_: int) -> tuple[int, str]:
        answer = api.http.post("/v1/jobs", json=spec(), headers={"Idempotency-Key": "race"})
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(submit, range(12)))
    assert sorted(status for status, _ in answers) == [200] * 11 + [201]
    assert len({job for _, job in answers}) == 1


def test_pages_are_whole_and_newest_first(api: Api) -> None:
    names = [f"job-{n}" for n in range(7)]
    for n, name in enumerate(names):
        api.submit(name=name, labels={"parity": "even" if n % 2 == 0 else "odd"})
    seen, cursor = [], None
    while True:
        page = api.http.get("/v1/jobs", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [job["name"] for job in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == names[::-1]
    odd = api.http.get("/v1/jobs", params={"label": "parity:odd"}).json()["items"]
    assert [job["name"] for job in odd] == ["job-5", "job-3", "job-1"]


def test_the_list_by_status(api: Api) -> None:
    queued, paused, pausing = api.submit()["id"], api.submit()["id"], api.running().job_id
    cancelled = api.submit()["id"]
    api.ask(paused, "pause")
    api.ask(pausing, "pause")
    api.ask(cancelled, "cancel")
    wanted = {"queued": queued, "paused": paused, "pausing": pausing, "cancelled": cancelled}
    for status, job_id in wanted.items():
        page = api.http.get("/v1/jobs", params={"status": status}).json()
        assert [(job["id"], job["status"]) for job in page["items"]] == [(job_id, status)]
    assert api.http.get("/v1/jobs", params={"status": "running"}).json()["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "bored"}, "status"),
        ({"label": "team"}, "label"),
        ({"cursor": "???"}, "cursor"),
        ({"cursor": "MA=="}, "cursor"),
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
    ],
)
def test_a_list_that_cannot_be(api: Api, query: dict[str, Any], field: str) -> None:
    answer = api.http.get("/v1/jobs", params=query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field
