"""GET /metrics: its numbers are right, its scope is checked, and reading it is cheap."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from service.api import metrics_collector
from service.api.readiness import State
from service.metrics.database_numbers import OTHERS, QUEUES, Queue, few
from tests.service.helpers import ON_BOTH, ON_POSTGRESQL, ON_SQLITE, Api, assert_problem, eventually
from tests.support.redis import RedisServer

pytestmark = ON_BOTH

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_collector, "KEPT_SECONDS", -1.0)


def scraped(api: Api) -> Samples:
    answer = api.http.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = text_string_to_metric_families(answer.text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_jobs_queues_and_workers_are_counted_from_the_rows(start: Callable[..., Api]) -> None:
    api = start(queue_limits={"tight": 1})
    api.submit()
    api.submit(queue="tight")
    trains = api.running(queue="tight")
    progress = {
        "stage": 1, "stages": 2, "epoch": 1, "epochs": 3, "step": 1, "steps": 2, "global_step": 1, "total_steps": 9,
    }  # fmt: skip
    trains.beat("training", progress={**progress, "images_per_second": 250.5, "eta_seconds": 60})
    other = api.running("w2")
    other.beat("training", progress={**progress, "images_per_second": "NaN"})
    assert api.ask(api.submit()["id"], "pause").status_code == 202
    api.conduct()
    found = scraped(api)
    jobs = {"queued": 2, "running": 2, "recovering": 0, "cancelling": 0, "pausing": 0, "paused": 1}
    assert {status: value(found, "baton_jobs", status=status) for status in jobs} == jobs
    parts = {"queued": 1, "waiting": 0, "held": 1}  # the only place of the queue is taken
    assert {part: value(found, f"baton_queue_{part}", queue="tight") for part in parts} == parts
    assert value(found, "baton_queue_waiting", queue="default") == 1
    assert value(found, "baton_queue_oldest_seconds", queue="default") >= 0
    assert value(found, "baton_running_images_per_second", queue="tight") == 250.5
    assert value(found, "baton_running_remaining_seconds", queue="tight") == 60
    assert value(found, "baton_running_images_per_second", queue="default") == 0
    assert value(found, "baton_workers", state="busy") == 2
    assert value(found, "baton_live_jobs_seconds", bucket="training") >= 0
    assert all(value(found, "baton_dependency_up", dependency=one) == 1 for one in ("database", "redis", "store"))


def test_what_happens_is_counted_where_it_is_committed(api: Api) -> None:
    before = scraped(api)
    hand = api.running()
    assert hand.checkpoint(3).status_code == 201
    api.let_lease_run_out(hand.attempt_id)
    api.conduct()
    assert_problem(hand.beat(), 409, "lease-lost")
    successor = api.claim(hand.job_id, "w2")
    assert successor.finish("succeeded").status_code == 200
    after = scraped(api)

    def grown(name: str, **labels: str) -> float:
        return value(after, name, **labels) - before.get((name, frozenset(labels.items())), 0.0)

    assert grown("baton_jobs_submitted_total") == 1
    assert grown("baton_attempts_ended_total", outcome="lost", reason="lease_expired") == 1
    assert grown("baton_attempts_ended_total", outcome="succeeded", reason="none") == 1
    assert grown("baton_leases_expired_total") == 1
    assert grown("baton_checkpoints_committed_total") == 1
    assert grown("baton_fenced_writes_refused_total") == 1
    assert grown("baton_jobs_ended_total", status="succeeded") == 1
    assert grown("baton_jobs_ended_total", status="failed") == 0


@ON_SQLITE
def test_what_is_rolled_back_did_not_happen(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("service.usecases.submit.queue_attempt", broken)
    assert api.http.post("/v1/jobs", json={"plan": "digits-demo"}).status_code == 500
    assert value(scraped(api), "baton_jobs_submitted_total") == 0


@ON_SQLITE
def test_requests_are_counted_by_template(api: Api) -> None:
    job = api.submit()["id"]
    api.job(job)
    api.http.get(f"/v1/jobs/{'0' * 32}")
    for number in range(3):
        api.http.get(f"/nonesuch/{number}")
    api.http.request("BREW", "/v1/jobs")
    found = scraped(api)
    name = "baton_http_request_duration_seconds_count"
    assert value(found, name, method="GET", route="/v1/jobs/{job_id}", status="200") == 1
    assert value(found, name, method="GET", route="/v1/jobs/{job_id}", status="404") == 1
    assert value(found, name, method="GET", route="(none)", status="404") == 3
    assert value(found, name, method="POST", route="/v1/jobs", status="201") == 1
    methods = {dict(labels)["method"] for one, labels in found if one == name}
    assert methods == {"GET", "POST", "(other)"}
    assert value(found, "baton_http_requests_in_progress") == 1


@ON_SQLITE
def test_reading_needs_the_scope_or_the_setting(start: Callable[..., Api]) -> None:
    api = start()
    stranger = TestClient(api.http.app)  # type: ignore[union-attr]
    assert_problem(stranger.get("/metrics"), 401, "unauthorized")
    for scope, status in (("submit", 403), ("read", 200)):
        headers = {"Authorization": f"Bearer {api.token(scope)['token']}"}
        assert stranger.get("/metrics", headers=headers).status_code == status
    public = start(metrics_public=True)
    assert TestClient(public.http.app).get("/metrics").status_code == 200  # type: ignore[union-attr]


@ON_SQLITE
def test_what_was_read_is_told_again_for_a_while(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_collector, "KEPT_SECONDS", 3600.0)
    assert value(scraped(api), "baton_jobs", status="queued") == 0
    api.submit()
    again = scraped(api)
    assert value(again, "baton_jobs", status="queued") == 0
    # The counters that the service keeps in memory are always current.
    assert value(again, "baton_jobs_submitted_total") == 1


@ON_SQLITE
def test_what_is_away_is_told(api: Api, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert value(scraped(api), "baton_dependency_up", dependency="redis") == 1
    redis_server.stop()
    try:
        eventually(lambda: value(scraped(api), "baton_dependency_up", dependency="redis") == 0)
        found = scraped(api)
    finally:
        redis_server.start()
    assert value(found, "baton_jobs", status="queued") == 0
    states = api.services.readiness.states()
    monkeypatch.setattr(api.services.readiness, "states", lambda: {**states, "database": State("away", 1.0)})
    found = scraped(api)
    assert value(found, "baton_dependency_up", dependency="database") == 0
    assert not [name for name, _ in found if name == "baton_jobs"]


@ON_POSTGRESQL
def test_one_replica_leads(start: Callable[..., Api]) -> None:
    replicas = [start(conductor_seconds=0.05) for _ in range(2)]
    eventually(lambda: sorted(value(scraped(one), "baton_conductor_leads") for one in replicas) == [0.0, 1.0])


@ON_SQLITE
def test_a_replica_without_a_conductor_leads_nothing(api: Api) -> None:
    found = scraped(api)
    assert value(found, "baton_conductor_leads") == 0
    assert [number for (name, _), number in found.items() if name == "baton_build_info"] == [1]


def test_queues_have_no_more_labels_than_some() -> None:
    queues = {f"q{number}": Queue(queued=1, oldest=number) for number in range(QUEUES + 5)}
    queues["busy"] = Queue(queued=9, held=9)
    found = few(queues)
    assert len(found) == QUEUES + 1
    assert found["busy"] is queues["busy"]
    assert (found[OTHERS].queued, found[OTHERS].oldest) == (6, QUEUES - 1)
    assert sum(one.queued for one in found.values()) == QUEUES + 5 + 9
