"""Nobody sees, names or changes anything of another project, over any route of the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from service.reconciler.list_upkeep import number_events
from tests.service.helpers import ON_BOTH, Api, assert_problem, bearer, spec, worker_info
from tests.service.two_projects import OURS, THEIRS, Things, claimed, furnish, leaks, member

MISSING = {
    "job_id": "0" * 32, "attempt_id": "0" * 32, "sha256": "0" * 64, "digest": "0" * 64, "project": "no-such",
    "queue": "no-such",
}  # fmt: skip
OTHERS = {"name": "best.keras", "number": "1", "queue": "default", "token_id": "0" * 12}

# What a route does with something of another project.
NAMED = "answers as if it did not exist"
LISTED = "leaves it out"
OWN = "concerns only the caller"
COMMON = "is the same for all projects"
ADMIN = "is refused, because it needs the scope admin"
OF_ATTEMPT = "is refused, because it needs the token of the attempt"

ROUTES = {
    NAMED: """
        GET /v1/jobs/{job_id}   PATCH /v1/jobs/{job_id}   DELETE /v1/jobs/{job_id}   POST /v1/jobs/{job_id}/pause
        POST /v1/jobs/{job_id}/resume   POST /v1/jobs/{job_id}/cancel   POST /v1/jobs/{job_id}/retry
        GET /v1/jobs/{job_id}/stages   GET /v1/jobs/{job_id}/attempts   GET /v1/jobs/{job_id}/checkpoints
        GET /v1/jobs/{job_id}/children   GET /v1/jobs/{job_id}/history   GET /v1/jobs/{job_id}/series
        GET /v1/jobs/{job_id}/events   GET /v1/jobs/{job_id}/attempts/{number}/log   GET /v1/jobs/{job_id}/artifacts
        GET /v1/jobs/{job_id}/artifacts/{name}   GET /v1/jobs/{job_id}/report   POST /v1/attempts/{attempt_id}/claim
        GET /v1/data/{name}   GET /v1/data/{name}/{digest}/manifest   DELETE /v1/data/{name}
        DELETE /v1/data/{name}/{digest}   GET /v1/packs/{sha256}   GET /v1/code/{digest}   GET /v1/projects/{project}
        GET /v1/attempts/{attempt_id}
        """,
    LISTED: """
        GET /v1/jobs   POST /v1/jobs:bulk   GET /v1/curves   GET /v1/data   POST /v1/packs:missing   GET /v1/workers
        GET /v1/extensions   GET /v1/queues/{queue}   GET /v1/projects   POST /v1/attempts:next   GET /v1/usage
        GET /v1/queue   GET /v1/events
        """,
    OWN: """
        POST /v1/jobs   POST /v1/workers   PUT /v1/packs/{sha256}   PUT /v1/manifests/{digest}   PUT /v1/code/{digest}
        GET /v1/session   POST /v1/session   DELETE /v1/session   POST /v1/session/links   POST /v1/plans:preview
        """,
    COMMON: """
        GET /v1/plans   GET /v1/plans/{name}   GET /v1/networks   GET /v1/notifications/targets
        GET /v1/install/{name}   GET /healthz   GET /readyz
        """,
    ADMIN: """
        POST /v1/prune   POST /v1/notifications:test   POST /v1/tokens   GET /v1/tokens
        POST /v1/tokens/{token_id}/revoke   GET /v1/audit   PUT /v1/projects/{project}   DELETE /v1/projects/{project}
        GET /metrics
        """,
    OF_ATTEMPT: """
        POST /v1/attempts/{attempt_id}/heartbeat   POST /v1/attempts/{attempt_id}/checkpoints
        POST /v1/attempts/{attempt_id}/epochs   POST /v1/attempts/{attempt_id}/epochs/rollback
        POST /v1/attempts/{attempt_id}/artifacts   POST /v1/attempts/{attempt_id}/notes
        POST /v1/attempts/{attempt_id}/quarantine   POST /v1/attempts/{attempt_id}/finish
        PUT /v1/attempts/{attempt_id}/objects/{name}   GET /v1/attempts/{attempt_id}/objects/{name}
        POST /v1/attempts/{attempt_id}/objects:sign   POST /v1/attempts/{attempt_id}/series
        POST /v1/attempts/{attempt_id}/series/rollback
        """,
}
AS_UNKNOWN = {"GET /v1/curves", "GET /v1/queues/{queue}"}
"""Lists whose answer for something of another project is that for something unknown."""

KINDS = {route: kind for kind, routes in ROUTES.items() for route in re.split(r"\s{2,}", routes.strip())}


def claim() -> dict[str, Any]:
    return {"claim_id": "1" * 32, "worker": worker_info()}


def bodies(theirs: Things) -> dict[str, dict[str, Any]]:
    """Valid bodies of the routes that have one, which name things of the other project where they can."""
    worker = worker_info("birch-worker")
    return {
        "PATCH /v1/jobs/{job_id}": {"notes": "ours now"},
        "POST /v1/attempts/{attempt_id}/claim": claim(),
        "POST /v1/jobs:bulk": {"action": "cancel", "all": True, "preview": True},
        "POST /v1/packs:missing": {"packs": [[one, len(b)] for one, b in theirs.push.packs.items()]},
        "POST /v1/attempts:next": {"queues": [f"{THEIRS}-queue"], "worker": worker, "wait_seconds": 0},
        "POST /v1/workers": {**worker, "queues": ["default"], "busy": False},
        "POST /v1/jobs": spec(),
        "POST /v1/plans:preview": spec(),
        "POST /v1/tokens": {"name": "x", "scopes": ["read"]},
        "POST /v1/notifications:test": {},
        "POST /v1/session": {"token": "wrong"},
        "PUT /v1/projects/{project}": {},
    }


@pytest.fixture
def api(start: Callable[..., Api]) -> Api:
    return start(failed_logins=0)


@pytest.fixture
def theirs(api: Api) -> Things:
    return furnish(api, THEIRS)


@pytest.fixture
def us(api: Api) -> Api:
    assert api.http.put(f"/v1/projects/{OURS}", json={}).status_code == 201
    found = member(api, OURS)
    found.submit(name=f"{OURS}-job")
    return found


def operations(api: Api) -> Iterator[str]:
    for path, found in api.http.get("/openapi.json").json()["paths"].items():
        yield from (f"{method.upper()} {path}" for method in found)


def test_each_route_says_what_it_does_with_another_project(api: Api) -> None:
    """A new route: add it to ROUTES, and a body to `bodies` if it has one."""
    assert set(operations(api)) == set(KINDS)


def plain(answer: httpx.Response, values: dict[str, str]) -> tuple[int, str]:
    """Status and body, without the ids of the request."""
    text = re.sub(r'"request_id":"[^"]*"', "", answer.text)
    for name in sorted(values.values(), key=len, reverse=True):
        text = text.replace(name, "") if len(name) > 1 else text
    return answer.status_code, text


@ON_BOTH
def test_no_route_gives_anything_of_another_project(theirs: Things, us: Api) -> None:
    before, sent = theirs.api.job(theirs.hand.job_id), bodies(theirs)
    for route, kind in KINDS.items():
        method, path = route.split()
        values = {**OTHERS, **theirs.ids}
        if "/data/" in path or "/code/" in path or "/manifests/" in path:
            values |= {"name": f"{THEIRS}-data", "digest": theirs.code if "/code/" in path else theirs.push.digest}
        missing = {**values, **{name: MISSING[name] for name in MISSING if f"{{{name}}}" in path or "curves" in path}}
        if "{name}" in path and "/data/" in path:
            missing["name"] = "no-such"
        found, other = ask(us, method, path, values, sent.get(route)), ask(us, method, path, missing, sent.get(route))
        asked = f"{found.request.url}{sent.get(route)}"
        assert leaks(found, theirs.secrets, asked) == set(), (route, found.text)
        if kind == NAMED:
            assert found.status_code == 404, (route, found.text)
        if kind == NAMED or route in AS_UNKNOWN:
            assert plain(found, values) == plain(other, missing), route
        if kind in (ADMIN, OF_ATTEMPT):
            assert found.status_code == 403, (route, found.text)
        elif kind in (LISTED, COMMON):
            assert found.status_code in (200, 404), (route, found.text)
    after = theirs.api.job(theirs.hand.job_id)
    assert (after["version"], after["status"], after["notes"]) == (before["version"], "running", None)


def ask(us: Api, method: str, path: str, values: dict[str, str], body: Any) -> httpx.Response:
    url = path.format(**values)
    params = {"name": "mine"} if "/manifests/" in path else {"job": [values["job_id"]]} if "curves" in path else None
    if path == "/v1/session" and method == "DELETE":
        return us.http.get("/v1/session")  # the test goes on with this token
    if method == "PUT" and body is None:
        return us.http.put(url, params=params, content=b"x")
    return us.http.request(method, url, params=params, json=body)


def test_the_token_of_an_attempt_opens_no_other(theirs: Things, us: Api) -> None:
    ours = claimed(us, us.submit(name="ours")["id"], "birch-worker")
    for route, kind in KINDS.items():
        method, path = route.split()
        values = {**OTHERS, **theirs.ids, "digest": theirs.push.digest}
        if "{job_id}" in path or kind == OF_ATTEMPT:
            answer = us.http.request(method, path.format(**values), headers=ours.headers, json={})
            assert answer.status_code == 403, (route, answer.text)
            assert leaks(answer, theirs.secrets, path.format(**values)) == set(), route


@pytest.mark.parametrize(
    "path",
    [
        "/v1/jobs/{job_id}?wait=5&version=0",
        "/v1/jobs/{job_id}/attempts/1/log?wait=5",
        "/v1/jobs/{job_id}/artifacts/best.keras",
        "/v1/jobs/{job_id}/series?name={project}/loss",
    ],
)
def test_answers_that_are_cached_or_awaited_are_for_the_project_alone(theirs: Things, us: Api, path: str) -> None:
    url = path.format(**theirs.ids)
    for _ in range(2):  # the second time the answer is in the caches
        assert theirs.api.http.get(url).status_code == 200
        assert_problem(us.http.get(url), 404, "not-found")


def test_a_version_that_is_known_is_not_confirmed(theirs: Things, us: Api) -> None:
    url = f"/v1/jobs/{theirs.hand.job_id}"
    tag = theirs.api.http.get(url).headers["etag"]
    assert theirs.api.http.get(url, headers={"If-None-Match": tag}).status_code == 304
    for headers in ({"If-None-Match": tag}, {"If-None-Match": "*"}, {"Accept": "text/event-stream"}):
        assert_problem(us.http.get(url, headers=headers), 404, "not-found")
    assert_problem(us.http.get(f"{url}/events", headers={"Accept": "text/event-stream"}), 404, "not-found")


def test_malformed_requests_tell_no_more(theirs: Things, us: Api) -> None:
    """For the caller, a body that cannot be read is checked in the same order, whether or not the job exists."""
    for job_id in (theirs.hand.job_id, "0" * 32):
        url = f"/v1/jobs/{job_id}"
        answers = [us.http.patch(url, content=b"{", headers={"Content-Type": "application/json"})]
        answers += [us.http.get(f"{url}/events?limit=0"), us.http.get(f"{url}/attempts/x/log")]
        assert [one.status_code for one in answers] == [404, 404, 404]


def test_bodies_that_name_things_of_another_project(theirs: Things, us: Api) -> None:
    job = theirs.hand.job_id
    program = {"command": ["python", "x.py"], "code": f"sha256:{theirs.code}"}
    refused: list[dict[str, Any]] = [
        {"clone": job},
        {"from": {"job": job, "checkpoint": "best"}},
        {"name": "x", "program": program},
        {"name": "x", "program": {"command": ["x"]}, "data": {"train": f"{THEIRS}-data"}},
        {"name": "x", "program": {"command": ["x"]}, "data": {"train": f"{THEIRS}-dat@sha256:{theirs.push.digest}"}},
        spec(network={"name": f"{THEIRS}-net"}),
    ]
    for body in refused:
        for path in ("/v1/jobs", "/v1/plans:preview"):
            answer = us.http.post(path, json=body)
            if path == "/v1/jobs":
                assert_problem(answer, 422, "invalid-spec")
            assert leaks(answer, theirs.secrets, str(body)) == set(), answer.text
    done = us.http.post("/v1/jobs:bulk", json={"action": "cancel", "ids": [job, "0" * 32]}).json()
    assert [one["why"].replace(one["id"], "") for one in done["reasons"]] == ["there is no job ''"] * 2
    assert us.http.post("/v1/jobs:bulk", json={"action": "cancel", "all": True}).json()["done"] == 1
    assert theirs.api.job(job)["status"] == "running"


def test_what_another_project_has_sent_must_be_sent_again(theirs: Things, us: Api) -> None:
    """A digest is no key: neither does it open bytes, nor does an answer tell that somebody has them."""
    query = {"packs": [[one, len(content)] for one, content in theirs.push.packs.items()]}
    assert us.http.post("/v1/packs:missing", json=query).json()["missing"] == list(theirs.push.packs)
    url = f"/v1/manifests/{theirs.push.digest}"
    answer = us.http.put(url, params={"name": "mine"}, content=theirs.push.manifest.encode())
    assert_problem(answer, 409, "packs-missing")
    theirs.push.push(us, "mine")  # with the bytes it may
    for digest, content in theirs.push.packs.items():
        assert us.http.get(f"/v1/packs/{digest}").content == content
    assert us.http.delete("/v1/data/mine").status_code == 200
    assert theirs.api.http.get(f"/v1/data/{THEIRS}-data").status_code == 200


def test_two_projects_use_the_same_names(theirs: Things, us: Api) -> None:
    theirs.push.push(us, f"{THEIRS}-data")
    (one,) = us.http.get(f"/v1/data/{THEIRS}-data").json()["items"]
    assert (one["project"], one["created_by"]) == (OURS, f"{OURS}-0")
    headers = {"Idempotency-Key": "the same"}
    first, second = (client.http.post("/v1/jobs", json=spec(), headers=headers) for client in (theirs.api, us))
    assert first.status_code == second.status_code == 201
    assert first.json()["id"] != second.json()["id"]
    assert us.http.post("/v1/jobs", json=spec(), headers=headers).json()["id"] == second.json()["id"]


def test_an_administrator_sees_all_and_may_act_in_one_project(api: Api, theirs: Things, us: Api) -> None:
    every = {one["project"] for one in api.http.get("/v1/jobs").json()["items"]}
    assert every == {THEIRS, OURS}
    inside = {"Baton-Project": OURS}
    assert {one["project"] for one in api.http.get("/v1/jobs", headers=inside).json()["items"]} == {OURS}
    assert_problem(api.http.get(f"/v1/jobs/{theirs.hand.job_id}", headers=inside), 404, "not-found")
    made = api.http.post("/v1/jobs", json=spec(), headers=inside).json()
    assert (made["project"], made["owner"]) == (OURS, "user")
    clone = api.http.post("/v1/jobs", json={"clone": theirs.hand.job_id}).json()
    assert clone["project"] == THEIRS  # otherwise its data could be in another project
    assert_problem(api.http.get("/v1/jobs", headers={"Baton-Project": "no-such"}), 422, "invalid-request")
    problem = assert_problem(us.http.get("/v1/jobs", headers={"Baton-Project": THEIRS}), 403, "forbidden")
    assert OURS in problem["detail"]
    assert us.http.get("/v1/jobs", headers=inside).status_code == 200


@pytest.mark.parametrize(
    "filters",
    [
        {"name": f"{THEIRS}-*"},
        {"name": f"{THEIRS}-runs"},
        {"queue": f"{THEIRS}-queue"},
        {"owner": f"{THEIRS}-0"},
        {"project": THEIRS},
        {"label": f"team:{THEIRS}"},
        {"metric": "val_loss<1000", "queue": f"{THEIRS}-queue"},
        {"sort": "metric:val_loss", "queue": f"{THEIRS}-queue"},
        {"sort": "name", "name": f"{THEIRS}-*"},
        {"view": "summary", "status": "running", "label": f"team:{THEIRS}"},
    ],
    ids=str,
)
def test_no_filter_finds_a_job_of_another_project(api: Api, theirs: Things, us: Api, filters: dict[str, str]) -> None:
    assert api.http.get("/v1/jobs", params=filters).json()["items"]
    found = us.http.get("/v1/jobs", params=filters)
    assert found.json()["items"] == []
    assert leaks(found, theirs.secrets, str(found.request.url)) == set()


def test_the_feed_has_the_events_of_the_project_alone(api: Api, theirs: Things, us: Api) -> None:
    number_events(api.services.database)
    assert theirs.hand.job_id in api.http.get("/v1/events").text
    found = us.http.get("/v1/events")
    assert {one["job_id"] for one in found.json()["items"]} == {
        one["id"] for one in us.http.get("/v1/jobs").json()["items"]
    }
    assert leaks(found, theirs.secrets) == set()


def test_a_browser_session_is_in_the_project_of_its_token(api: Api, theirs: Things, us: Api) -> None:
    token = api.token("read", project=OURS, name="visitor")["token"]
    browser = member(api, OURS, "read", name="other").http
    browser.headers.pop("Authorization")
    shown = browser.post("/v1/session", json={"token": token}).json()
    assert shown["project"] == OURS
    assert {one["project"] for one in browser.get("/v1/jobs").json()["items"]} == {OURS}
    assert_problem(browser.get(f"/v1/jobs/{theirs.hand.job_id}"), 404, "not-found")


def test_the_metrics_of_all_projects_are_for_operators(start: Callable[..., Api]) -> None:
    api = start(read_token="r" * 32)
    alone = member(api, "default", "read")
    assert alone.http.get("/metrics").status_code == 200  # a single user sees nothing of projects
    assert api.http.put(f"/v1/projects/{OURS}", json={}).status_code == 201
    assert_problem(alone.http.get("/metrics"), 403, "forbidden")
    assert api.http.get("/metrics", headers=bearer("r" * 32)).status_code == 200
