"""Request ids: in the response, in error bodies and in the log. No secret is logged."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from baton.client.client import Client
from baton.client.errors import ApiError
from tests.service.helpers import Api, assert_problem, spec
from tests.support.gcs import until
from tests.support.redis import RedisServer
from tests.support.service import TOKEN, ServiceProcess, running_service

pytestmark = pytest.mark.process

MINE = "build-17.a_B"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[ServiceProcess]:
    """A service with JSON logs and with passwords in its settings."""
    rights = ["+@all"]
    redis_server.client().acl_setuser(
        "logged", True, passwords="+redis-password", commands=rights, keys="*", channels="*"
    )
    url = redis_server.url.replace("redis://", "redis://logged:redis-password@")
    settings = {"BATON_LOG_FORMAT": "JSON", "BATON_LOG_LEVEL": "debug", "BATON_METRICS_PUBLIC": "1"}
    with running_service(tmp_path_factory.mktemp("logged"), url, **settings) as made:
        yield made


def lines(service: ServiceProcess, request: str | None = None) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in service.log.read_text().splitlines()]
    return [one for one in found if request is None or one.get("request_id") == request]


@pytest.mark.parametrize("given", ["", "two words", "x" * 65, "a;b", "ü"])
def test_a_name_that_is_long_or_odd_is_not_taken(api: Api, given: str) -> None:
    answer = api.http.get("/v1/jobs", headers={"X-Request-ID": given.encode()})
    assert answer.headers.get_list("x-request-id") != [given]
    assert len(answer.headers["x-request-id"]) == 16


def test_every_answer_and_every_problem_is_named(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    def named(method: str, path: str, **more: Any) -> Any:
        headers = {"X-Request-ID": MINE, **more.pop("headers", {})}
        answer = api.http.request(method, path, headers=headers, **more)
        assert answer.headers.get_list("x-request-id") == [MINE]
        return answer

    assert named("GET", "/v1/jobs").status_code == 200
    monkeypatch.setattr("service.usecases.job_list.page", broken)
    problems = {
        (401, "unauthorized"): named("GET", "/v1/jobs", headers={"Authorization": "Bearer wrong"}),
        (404, "not-found"): named("GET", "/nonesuch"),
        (405, "method-not-allowed"): named("PUT", "/v1/jobs"),
        (413, "body-too-large"): named("POST", "/v1/jobs", content=b"x" * (2 << 20)),
        (422, "invalid-spec"): named("POST", "/v1/jobs", json={"name": "x"}),
        (500, "internal-error"): named("GET", "/v1/jobs"),
    }
    for (status, code), answer in problems.items():
        assert assert_problem(answer, status, code)["request_id"] == MINE


def test_each_line_of_the_log_is_an_object(service: ServiceProcess) -> None:
    with service.client() as http:
        job = http.post("/v1/jobs", json=spec(), headers={"X-Request-ID": MINE}).json()["id"]
        http.get(f"/v1/jobs/{job}?limit=secret-query", headers={"X-Request-ID": "look-1"})
    # The line is written after the response was sent.
    until(lambda: bool(lines(service, "look-1")), 60, "the last request's line")
    happened, access = [one for one in lines(service, MINE) if one["logger"] != "asyncio"][-2:]
    assert (happened["logger"], happened["event"], happened["job"]) == ("service.events", "queued", job)
    assert access["logger"] == "service.requests"
    assert access["message"] == "POST /v1/jobs 201"
    expected = {"method": "POST", "path": "/v1/jobs", "route": "/v1/jobs", "status": 201, "level": "info"}
    assert expected.items() <= access.items()
    assert access["seconds"] > 0
    looked = lines(service, "look-1")[-1]
    assert (looked["job"], looked["route"], looked["user"]) == (job, "/v1/jobs/{job_id}", access["user"])
    for one in lines(service):
        assert {"ts", "level", "logger", "message"} <= one.keys()
    assert [one for one in lines(service) if one["message"].startswith("Baton serves")]


def test_no_secret_is_in_the_log(service: ServiceProcess) -> None:
    with service.client() as http:
        drawn = http.post("/v1/tokens", json={"name": "ada", "scopes": ["read"]}).json()["token"]
        http.get("/v1/jobs", headers={"Authorization": f"Bearer {drawn}"})
        http.get("/v1/jobs", headers={"Authorization": f"Bearer {drawn}x"})
        opened = http.post("/v1/session", json={"token": drawn})
        cookie = opened.cookies["baton_session"]
        http.get("/readyz")
    until(lambda: "/readyz" in service.log.read_text(), 60, "the last request's line")
    text = service.log.read_text()  # the level is debug, so nothing was filtered
    for secret in (TOKEN, drawn, "redis-password", cookie, "secret-query"):
        assert secret not in text


def test_the_sdk_says_which_request_it_was(service: ServiceProcess) -> None:
    with Client(service.url, TOKEN) as client, pytest.raises(ApiError) as refused:
        client.job("nonesuch")
    name = refused.value.request_id
    assert name
    assert f"(request {name})" in str(refused.value)
    until(lambda: bool(lines(service, name)), 60, "the request's line")
    assert lines(service, name)[-1]["status"] == 404


def test_a_bug_is_logged_with_its_request_and_traceback(
    start: Callable[..., Api], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """Uvicorn writes this line itself. It must be logged in a context that knows the request."""
    from baton.telemetry import log_context

    seen: list[str | None] = []

    async def app(_scope: Any, _receive: Any, _send: Any) -> None:
        raise RuntimeError("a bug")

    async def asked() -> None:
        from service.api.request_log import Requests
        from service.metrics.counters import Counters

        scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"x-request-id", b"bug-1")]}
        with pytest.raises(RuntimeError):
            await Requests(app, Counters("0"))(scope, None, None)  # type: ignore[arg-type]
        seen.append(log_context.request_id())

    import asyncio

    with caplog.at_level(logging.INFO, "service.requests"):
        asyncio.run(asked())
    assert seen == ["bug-1"]
    assert caplog.records[-1].message == "GET / 500"
