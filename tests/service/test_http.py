"""General rules of the HTTP API: error bodies, tokens, limits, ETags, long polls, ranges, and the OpenAPI document."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from service.api.request_limits import MAX_BODY
from tests.service.helpers import Api, assert_problem, eventually
from tests.support.service import TOKEN


@pytest.mark.parametrize("header", ["", "Bearer", "Basic dG9rZW4tb2YtdGhlLXRlc3Rz", "bearer tökén", f"Bearer {TOKEN}x"])
def test_wrong_tokens_are_refused(api: Api, header: str) -> None:
    answer = api.http.get("/v1/jobs", headers={"Authorization": header.encode("latin-1")})
    assert_problem(answer, 401, "unauthorized")


def test_health_needs_no_token(api: Api) -> None:
    api.http.headers.pop("Authorization")
    assert api.http.get("/healthz").json()["status"] == "alive"
    assert api.http.get("/readyz").json()["checks"] == {"database": "ok", "redis": "ok", "store": "ok"}


def test_every_error_is_a_problem(api: Api) -> None:
    assert_problem(api.http.get("/nonesuch"), 404, "not-found")
    assert_problem(api.http.get("/v1/jobs/nonesuch"), 404, "not-found")
    answer = api.http.delete("/v1/jobs")
    assert_problem(answer, 405, "method-not-allowed")
    assert answer.headers["allow"]
    headers = {"content-type": "application/json"}
    assert_problem(api.http.post("/v1/workers", content=b"{", headers=headers), 400, "malformed-body")
    assert_problem(api.http.post("/v1/workers", json={}), 422, "invalid-request")
    assert_problem(api.http.get("/v1/jobs/" + "x" * 65), 422, "invalid-request")


def test_odd_characters_cause_no_500(api: Api) -> None:
    hand = api.running()
    headers = {"content-type": "application/json"}
    for text in (b"\\u0000", b"\\ud800", b"\\uDFFF"):
        body = b'{"fence": 1, "kind": "x", "message": "m", "data": {"a": ["' + text + b'"]}}'
        answer = api.http.post(f"/v1/attempts/{hand.attempt_id}/notes", content=body, headers=headers)
        assert_problem(answer, 400, "malformed-body")
    fine = b'{"fence": 1, "kind": "x", "message": "\\ud83d\\ude00"}'
    assert api.http.post(f"/v1/attempts/{hand.attempt_id}/notes", content=fine, headers=headers).status_code == 201
    for depth in (40, 300, 9000):
        deep = b'{"fence": 1, "kind": "x", "message": "m", "data": ' + b'{"a":' * depth + b"1" + b"}" * (depth + 1)
        answer = api.http.post(f"/v1/attempts/{hand.attempt_id}/notes", content=deep, headers=headers)
        assert_problem(answer, 400, "malformed-body")
    for path in ("%00", "%ff", "..%2f..", "a%0d%0ab"):
        assert api.http.get(f"/v1/jobs/{path}").status_code == 404
        assert api.http.get(f"/v1/jobs/{hand.job_id}/artifacts/{path}").status_code == 404
        assert api.http.get(f"/v1/plans/{path}").status_code == 404
    assert api.http.get("/v1/jobs", params={"label": "a:b\x00"}).status_code == 422


@pytest.mark.parametrize("what", ["", "/stages", "/attempts", "/checkpoints", "/history", "/events", "/artifacts"])
def test_a_job_that_never_was_has_nothing(api: Api, what: str) -> None:
    assert_problem(api.http.get(f"/v1/jobs/{'0' * 32}{what}"), 404, "not-found")


def test_a_bug_is_a_problem_without_details(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("service.usecases.views.list_jobs", broken)
    problem = assert_problem(api.http.get("/v1/jobs"), 500, "internal-error")
    assert "secret" not in str(problem)


def test_a_database_that_is_away_is_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("database is locked"))

    monkeypatch.setattr("service.usecases.views.list_jobs", away)
    answer = api.http.get("/v1/jobs")
    assert_problem(answer, 503, "database-unavailable")
    assert answer.headers["retry-after"]


def test_a_body_has_a_limit_however_it_is_sent(api: Api) -> None:
    big = b'{"name": "' + b"x" * MAX_BODY + b'"}'
    headers = {"content-type": "application/json"}
    assert_problem(api.http.post("/v1/jobs", content=big, headers=headers), 413, "body-too-large")

    def chunks() -> Any:
        for start in range(0, len(big), 65536):
            yield big[start : start + 65536]

    assert_problem(api.http.post("/v1/jobs", content=chunks(), headers=headers), 413, "body-too-large")
    nearly = b'{"name": "' + b"x" * (MAX_BODY - 12) + b'"}'
    assert api.http.post("/v1/jobs", content=nearly, headers=headers).status_code == 422


def test_an_etag_spares_the_body(api: Api) -> None:
    job_id = api.submit()["id"]
    answer = api.http.get(f"/v1/jobs/{job_id}")
    tag = answer.headers["etag"]
    again = api.http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": f'"x", {tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    strong = api.http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag.removeprefix("W/")})
    assert strong.status_code == 304
    api.ask(job_id, "pause")
    changed = api.http.get(f"/v1/jobs/{job_id}", headers={"If-None-Match": tag})
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


def test_a_long_poll_wakes_when_the_job_changes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job = api.submit()
    answers: list[Any] = []
    woken: list[bool] = []
    newer = api.services.watch.newer

    async def recorded(job_id: str, version: int, seconds: float) -> bool:
        woken.append(await newer(job_id, version, seconds))
        return woken[-1]

    monkeypatch.setattr(api.services.watch, "newer", recorded)

    def poll() -> None:
        url = f"/v1/jobs/{job['id']}"
        answers.append(api.http.get(url, params={"wait": 60, "version": job["version"]}).json())

    pollers = [threading.Thread(target=poll) for _ in range(5)]
    for thread in pollers:
        thread.start()
    eventually(lambda: len(api.services.watch._waiters) == 5)
    assert answers == []
    api.ask(job["id"], "pause")
    for thread in pollers:
        thread.join()
    assert woken == [True] * 5  # False would mean that the time ran out
    assert {answer["status"] for answer in answers} == {"paused"}
    assert not api.services.watch._waiters


def test_a_long_poll_answers_at_once_or_at_the_end(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job = api.submit()
    url = f"/v1/jobs/{job['id']}"
    with monkeypatch.context() as patch:
        patch.setattr(api.services.watch, "newer", pytest.fail)
        assert api.http.get(url, params={"wait": 30, "version": job["version"] - 1}).status_code == 200
    answer = api.http.get(url, params={"wait": 0.3, "version": job["version"]})
    assert (answer.status_code, answer.json()["version"]) == (200, job["version"])
    assert_problem(api.http.get(url, params={"wait": 61, "version": 1}), 422, "invalid-request")
    assert_problem(api.http.get(url, params={"wait": "soon"}), 422, "invalid-request")


def test_events_come_in_pages(api: Api) -> None:
    hand = api.running()
    for _ in range(5):
        hand.note()
    seen: list[int] = []
    after: int | None = 0
    while after is not None:
        page = api.http.get(f"/v1/jobs/{hand.job_id}/events", params={"after": after, "limit": 3}).json()
        seen += [event["sequence"] for event in page["items"]]
        after = page["next_after"]
    assert seen == list(range(1, 10))
    assert api.http.get(f"/v1/jobs/{hand.job_id}/events", params={"after": 9}).json()["items"] == []


CONTENT = bytes(range(200))


@pytest.mark.parametrize(
    ("header", "status", "first", "end"),
    [
        ("bytes=0-9", 206, 0, 10),
        ("bytes=190-", 206, 190, 200),
        ("bytes=-5", 206, 195, 200),
        ("bytes=-500", 206, 0, 200),
        ("bytes=100-900", 206, 100, 200),
        ("bytes=5-1", 200, 0, 200),
        ("bytes=1-2,4-5", 200, 0, 200),
        ("lines=1-2", 200, 0, 200),
        ("bytes=-", 200, 0, 200),
    ],
)
def test_part_of_a_file(api: Api, header: str, status: int, first: int, end: int) -> None:
    hand = api.running()
    hand.artifact("best.keras", CONTENT)
    answer = api.http.get(f"/v1/jobs/{hand.job_id}/artifacts/best.keras", headers={"Range": header})
    assert (answer.status_code, answer.content) == (status, CONTENT[first:end])
    assert answer.headers["content-length"] == str(end - first)
    if status == 206:
        assert answer.headers["content-range"] == f"bytes {first}-{end - 1}/200"


@pytest.mark.parametrize("header", ["bytes=200-", "bytes=900-901", "bytes=-0"])
def test_no_part_of_a_file(api: Api, header: str) -> None:
    hand = api.running()
    hand.artifact("best.keras", CONTENT)
    answer = api.http.get(f"/v1/jobs/{hand.job_id}/artifacts/best.keras", headers={"Range": header})
    assert_problem(answer, 416, "range-not-satisfiable")
    assert answer.headers["content-range"] == "bytes */200"


def test_a_file_with_its_headers(api: Api) -> None:
    hand = api.running()
    hand.artifact("report.html", b"<script>", content_type="text/html")
    url = f"/v1/jobs/{hand.job_id}/artifacts/report.html"
    answer = api.http.get(url)
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert api.http.get(url, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    stale = api.http.get(url, headers={"Range": "bytes=0-1", "If-Range": '"other"'})
    assert (stale.status_code, stale.content) == (200, b"<script>")
    hand.artifact("odd.bin", b"x", content_type="text/html\r\nX-Evil: 1")
    odd = api.http.get(f"/v1/jobs/{hand.job_id}/artifacts/odd.bin")
    assert odd.headers["content-type"] == "application/octet-stream"
    assert "x-evil" not in odd.headers
    assert_problem(api.http.get(f"/v1/jobs/{hand.job_id}/artifacts/nonesuch"), 404, "not-found")


def test_a_store_that_signs_is_asked_for_a_link(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = api.running()
    hand.artifact()
    monkeypatch.setattr(api.services.store, "signed_url", lambda name, expires: f"https://store.example/{name}")
    answer = api.http.get(f"/v1/jobs/{hand.job_id}/artifacts/best.keras", follow_redirects=False)
    assert answer.status_code == 307
    assert answer.headers["location"].startswith("https://store.example/jobs/")


def test_plans_and_networks_are_listed(api: Api) -> None:
    plans = api.http.get("/v1/plans").json()["items"]
    assert "digits-demo" in [plan["name"] for plan in plans]
    for plan in plans:
        missing = {one["field"]: "/data" for one in plan["missing"]}
        assert api.submit({"plan": plan["name"], "set": missing})["status"] == "queued"
    assert api.http.get("/v1/plans/digits-demo").json() in plans
    assert_problem(api.http.get("/v1/plans/nonesuch"), 404, "not-found")
    networks = {n["name"]: n["parameters"] for n in api.http.get("/v1/networks").json()["items"]}
    assert networks == {"network-1": 17_927_040, "network-2": 11_822_920, "tiny-cnn": 32_776}


def test_the_contract_tells_of_every_error(api: Api) -> None:
    document = api.http.get("/openapi.json").json()
    assert "ProblemView" in document["components"]["schemas"]
    assert "HTTPValidationError" not in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            codes = set(operation["responses"])
            assert "500" in codes, path
            if path.startswith("/v1"):
                assert {"401", "403", "422", "429", "503"} <= codes, path
            # The request itself creates what these paths name: a queue, a pack, a manifest, an object, code, a project.
            made = "{queue}" in path or (
                method == "put" and re.search("/(packs|manifests|objects|code|projects)/", path)
            )
            if "{" in path and not made:
                assert "404" in codes, path
            if "requestBody" in operation:
                assert {"400", "413"} <= codes, path
            for code, answer in operation["responses"].items():
                if code >= "400":
                    assert list(answer["content"]) == ["application/problem+json"], (path, code)
