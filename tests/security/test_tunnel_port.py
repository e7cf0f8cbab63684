"""The port for a tunnel: everybody on the internet reaches it, and only workers are answered."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.api.auth import COOKIE
from service.web.pages import VIEWS
from tests.service.helpers import Api, WorkerHand, assert_problem, bearer, worker_info
from tests.support.redis import RedisServer, free_port
from tests.support.service import TOKEN, ServiceProcess, running_service

SECRET, READ = "tunnel-token-of-the-tests", "read-token-of-the-tests"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[ServiceProcess]:
    settings = {
        "BATON_TUNNEL_PORT": str(free_port()),
        "BATON_TUNNEL_TOKEN": SECRET,
        "BATON_READ_TOKEN": READ,
        "BATON_METRICS_PUBLIC": "1",
        "BATON_FAILED_LOGINS": "3",
    }
    with running_service(tmp_path_factory.mktemp("service"), redis_server.url, **settings) as process:
        yield process


@pytest.fixture
def tunnel(service: ServiceProcess) -> Iterator[httpx.Client]:
    """Somebody on the internet, behind the tunnel."""
    with httpx.Client(base_url=f"http://127.0.0.1:{service.settings['BATON_TUNNEL_PORT']}", timeout=30.0) as http:
        yield http


def test_no_page_and_no_document_is_there(tunnel: httpx.Client, service: ServiceProcess) -> None:
    paths = [*(view.replace("{job_id}", "0" * 32) for view in VIEWS), "/assets/1/main.js", "/docs", "/openapi.json"]
    for path in [*paths, "/readyz", "/metrics", "/v1", "/V1/jobs", "//v1/jobs"]:
        assert_problem(tunnel.get(path), 404, "not-found")
    assert tunnel.get("/healthz").status_code == 200
    assert httpx.get(f"{service.url}/").status_code == 200


def test_nobody_logs_in_there(tunnel: httpx.Client, service: ServiceProcess, api: Api) -> None:
    answer = tunnel.post("/v1/session", json={"token": TOKEN})
    assert_problem(answer, 404, "not-found")
    assert "set-cookie" not in answer.headers
    here = httpx.post(f"{service.url}/v1/session", json={"token": TOKEN})
    assert here.status_code == 201
    for path in ("/v1/jobs", "/v1/session", "/v1/tokens"):
        assert_problem(tunnel.get(path, headers={"Cookie": f"{COOKIE}={here.cookies[COOKIE]}"}), 403, "forbidden")


def test_tokens_of_people_are_of_no_use_there(tunnel: httpx.Client, api: Api) -> None:
    more = api.token("submit", "work")["token"]
    report = {**worker_info(), "queues": ["default"]}
    for token in (TOKEN, READ, more):
        for path in ("/v1/session", "/v1/install/worker.py", "/v1/jobs"):
            assert_problem(tunnel.get(path, headers=bearer(token)), 403, "forbidden")
        assert_problem(tunnel.post("/v1/workers", json=report, headers=bearer(token)), 403, "forbidden")
    assert_problem(tunnel.get("/v1/jobs", headers=bearer(SECRET)), 403, "forbidden")


def test_a_worker_does_all_its_work_there(tunnel: httpx.Client, api: Api) -> None:
    job = api.submit()["id"]
    report = {**worker_info(), "queues": ["default"]}
    assert tunnel.post("/v1/workers", json=report, headers=bearer(SECRET)).status_code == 204
    hand = WorkerHand(Api(tunnel), api.attempt(job)["id"], job, token=SECRET)
    hand.grant = hand.claim().json()
    assert hand.beat().status_code == 200
    assert tunnel.get(f"/v1/jobs/{job}", headers=hand.headers).status_code == 200
    assert tunnel.get("/v1/session", headers=bearer(SECRET)).json()["name"] == "tunnel-bootstrap"


def test_guesses_through_the_tunnel_count_for_who_makes_them(tunnel: httpx.Client, service: ServiceProcess) -> None:
    def guess(address: str) -> int:
        headers = {**bearer(f"guess-{uuid.uuid4().hex}"), "X-Forwarded-For": f"192.0.2.1, {address}"}
        return tunnel.get("/v1/session", headers=headers).status_code

    assert [guess("203.0.113.9") for _ in range(5)] == [401, 401, 401, 429, 429]
    assert guess("203.0.113.10") == 401
    right = {**bearer(SECRET), "X-Forwarded-For": "203.0.113.9"}
    assert tunnel.get("/v1/session", headers=right).status_code == 200


@pytest.mark.process
def test_the_tunnels_token_ends_with_the_service_that_it_was_made_for(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    """The token is in no table, so a service that starts later on the same data refuses it."""
    with running_service(tmp_path, redis_server.url, BATON_TUNNEL_TOKEN=SECRET) as process:
        assert httpx.get(f"{process.url}/v1/session", headers=bearer(SECRET)).status_code == 200
        process.kill()
        process.settings = {}
        process.start()
        assert_problem(httpx.get(f"{process.url}/v1/session", headers=bearer(SECRET)), 401, "unauthorized")
    assert SECRET.encode() not in b"".join(one.read_bytes() for one in tmp_path.rglob("*") if one.is_file())
