"""Tokens on routes where they must be refused, for every route of a worker in the OpenAPI document."""

from __future__ import annotations

from typing import Any

import pytest

from tests.security.wire import BEARER, ask
from tests.service.helpers import Api, bearer
from tests.support.service import ServiceProcess

pytestmark = pytest.mark.process

PREFIX = "/v1/attempts/{attempt_id}/"


@pytest.fixture(scope="module")
def routes(api: Api) -> list[str]:
    """The routes that accept the attempt's token and write."""
    document: dict[str, Any] = api.http.get("/openapi.json").json()["paths"]
    found = [path for path, calls in document.items() if path.startswith(PREFIX) and opens(calls.get("post", {}))]
    assert {path.removeprefix(PREFIX) for path in found} >= {"heartbeat", "checkpoints", "finish", "notes"}
    return found


def opens(operation: dict[str, Any]) -> bool:
    return any("attempt" in scopes for one in operation.get("security", ()) for scopes in one.values())


def test_a_token_of_another_attempt_writes_nothing_anywhere(api: Api, routes: list[str]) -> None:
    mine, other = api.running(), api.running()
    mine.finish("preempted", reason="preempted")
    ended = mine.grant["token"]
    work = api.token("work")["token"]
    before = api.job(other.job_id)["version"], api.kinds(other.job_id)
    for path in routes:
        url = path.format(attempt_id=other.attempt_id)
        for token in (ended, work, other.grant["token"][:-1] + "x", ended.replace(mine.attempt_id, other.attempt_id)):
            for body in (
                {"fence": other.fence},
                {},
                {"fence": mine.fence, "phase": "training", "outcome": "succeeded"},
            ):
                answer = api.http.post(url, json=body, headers=bearer(token))
                assert answer.status_code in (401, 403, 429), (url, answer.text)
    assert (api.job(other.job_id)["version"], api.kinds(other.job_id)) == before


def test_a_token_is_shown_in_the_header_alone(service: ServiceProcess) -> None:
    """URLs appear in logs and in the browser's history."""
    token = BEARER.removeprefix("Authorization: Bearer ")
    for target in (
        f"/v1/jobs?token={token}",
        f"/v1/jobs?access_token={token}",
        f"/v1/jobs?Authorization=Bearer+{token}",
    ):
        assert ask(service, f"GET {target} HTTP/1.1", "Host: x")[0] == 401
    assert ask(service, f"GET http://user:{token}@x/v1/jobs HTTP/1.1", "Host: x")[0] in (400, 401, 404)
    assert ask(service, "GET /v1/jobs HTTP/1.1", "Host: x", BEARER.replace("Bearer", "Basic"))[0] == 401
    assert ask(service, "GET /v1/jobs HTTP/1.1", "Host: x", f"Cookie: baton_session={token}")[0] == 401
    assert ask(service, "GET /v1/jobs HTTP/1.1", "Host: x", "X-HTTP-Method-Override: DELETE", BEARER)[0] == 200
