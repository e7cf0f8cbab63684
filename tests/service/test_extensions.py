"""Extensions that workers have installed: specs name them, the API lists them, and jobs go only to workers that have
them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.service.helpers import Api, assert_problem, eventually, spec, worker_info

NET = {"name": "my-net", "width": 0.5, "options": {"depth": 3, "act": "relu", "bias": True, "rate": 0.5}}


def report(api: Api, name: str, *extensions: str, **more: Any) -> httpx.Response:
    body = {**worker_info(name), "queues": ["default"], "busy": False, "extensions": extensions, **more}
    return api.http.post("/v1/workers", json=body)


def claim(api: Api, attempt: str, name: str, *extensions: str) -> httpx.Response:
    body = {"claim_id": f"claim-of-{name}", "worker": {**worker_info(name), "extensions": extensions}}
    return api.http.post(f"/v1/attempts/{attempt}/claim", json=body)


def offered(api: Api, name: str, *extensions: str) -> str | None:
    worker = {**worker_info(name), "extensions": extensions}
    answer = api.http.post("/v1/attempts:next", json={"worker": worker, "queues": ["default"], "wait_seconds": 0})
    found: str | None = answer.json()["attempt_id"]
    return found


def test_a_name_is_known_once_a_worker_has_it(api: Api) -> None:
    answer = api.http.post("/v1/jobs", json=spec(network=NET))
    problem = assert_problem(answer, 422, "invalid-spec")
    assert problem["errors"] == [
        {"field": "network.name", "message": "unknown network 'my-net'; known: network-1, network-2, tiny-cnn"}
    ]
    assert report(api, "w1", "network/my-net", "dataset/shapes", "augmentation/blur").status_code == 204
    job = api.submit(network=NET)
    assert {**job["spec"]["network"], **NET} == job["spec"]["network"]
    assert_problem(api.http.post("/v1/jobs", json=spec(network={"name": "other"})), 422, "invalid-spec")
    job = api.submit(dataset={"name": "shapes", "options": {"n": 5}})
    assert job["spec"]["dataset"]["name"] == "shapes"


def test_they_are_listed(api: Api) -> None:
    assert api.http.get("/v1/extensions").json()["items"] == []
    report(api, "w2", "network/my-net")
    report(api, "w1", "network/my-net", "augmentation/blur")
    assert api.http.get("/v1/extensions").json()["items"] == [
        {"kind": "network", "name": "my-net", "workers": ["w1", "w2"]},
        {"kind": "augmentation", "name": "blur", "workers": ["w1"]},
    ]
    workers = {one["name"]: one["extensions"] for one in api.http.get("/v1/workers").json()["items"]}
    assert workers == {"w1": ["network/my-net", "augmentation/blur"], "w2": ["network/my-net"]}


def test_only_a_worker_that_has_it_gets_the_job(api: Api) -> None:
    report(api, "w1", "network/my-net")
    attempt = api.attempt(api.submit(network=NET)["id"])["id"]
    refused = assert_problem(claim(api, attempt, "w2", "network/their-net"), 409, "not-installed")
    assert refused["detail"] == "attempt 1 needs extensions that are not installed on this worker: network my-net"
    has = ("network/my-net", "network/their-net")
    assert_problem(claim(api, attempt, "w1", *has), 409, "conflict")  # refused until the attempt is sent again
    eventually(lambda: claim(api, attempt, "w1", *has).status_code == 200)


def test_an_attempt_that_is_refused_again_and_again_has_few_events(api: Api) -> None:
    report(api, "w1", "network/my-net")
    job = api.submit(network=NET)["id"]
    attempt = api.attempt(job)["id"]
    for _ in range(10):
        api.set_attempt(attempt, not_before=datetime(2026, 1, 1, tzinfo=UTC))
        api.conduct()
        assert_problem(claim(api, attempt, "w2"), 409, "not-installed")
    times = [event["data"]["times"] for event in api.items(job, "events") if event["kind"] == "dispatched"]
    assert times == [1, 2, 4, 8]


def test_polling_workers_are_offered_what_they_can_train(api: Api) -> None:
    report(api, "w1", "network/my-net")
    attempt = api.attempt(api.submit(network=NET)["id"])["id"]
    assert offered(api, "w2") is None
    assert offered(api, "w1", "network/my-net") == attempt


def test_the_status_says_what_kind_of_worker_it_waits_for(api: Api) -> None:
    report(api, "w1", "network/my-net")
    job = api.submit(network=NET)
    assert api.job(job["id"])["waiting_for"] == "a worker of queue default with network my-net"
    report(api, "w1")
    text = "a worker: none for queue default with network my-net was seen within the last 2 min"
    assert api.job(job["id"])["waiting_for"] == text


@pytest.mark.parametrize("name", ["my-net", "network/", "network/My Net", "code/x", "network/" + "x" * 64])
def test_bad_names_are_refused(api: Api, name: str) -> None:
    problem = assert_problem(report(api, "w1", name), 422, "invalid-request")
    assert problem["errors"][0]["field"] == "extensions.0"


@pytest.mark.parametrize(
    ("part", "value", "field"),
    [
        ("network", {"name": "network-1", "options": {"depth": 3}}, "network.options"),
        ("dataset", {"name": "digits", "options": {"n": 3}}, "dataset.options"),
        ("network", {"name": "my-net", "options": {"no good": 3}}, "network.options.no good"),
        ("network", {"name": "my-net", "options": {"deep": {"x": 1}}}, "network.options.deep"),
    ],
)
def test_options_are_for_extensions_and_plain(api: Api, part: str, value: dict[str, Any], field: str) -> None:
    report(api, "w1", "network/my-net")
    problem = assert_problem(api.http.post("/v1/jobs", json=spec(**{part: value})), 422, "invalid-spec")
    assert [error["field"] for error in problem["errors"]] == [field]
