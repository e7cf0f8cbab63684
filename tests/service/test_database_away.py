"""PostgreSQL is slow, restarts or refuses a request.

The service responds with 503 and a hint, and recovers when PostgreSQL works again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import select
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.api import readiness
from service.db.tables import Job
from service.live.status_cache import Status
from service.usecases import job_list
from tests.service.helpers import ON_POSTGRESQL, Api, assert_problem, eventually, spec
from tests.service.query_errors import raising
from tests.support.postgres import PostgresServer

pytestmark = ON_POSTGRESQL


def assert_away(answer: httpx.Response) -> None:
    problem = assert_problem(answer, 503, "database-unavailable")
    assert answer.headers["retry-after"] == "2"
    assert "repeat the request" in problem["detail"]


def test_transient_errors_are_503(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    again = ["40001", "40P01", "55P03", "57014", "57P01", "57P03", "53300", "08006", "25006", "25P03", "58030"]
    for state in again:
        monkeypatch.setattr(job_list, "page", raising(state))
        assert_away(api.http.get("/v1/jobs"))
    for state in ("42P01", "22003", "23505", "XX000"):
        monkeypatch.setattr(job_list, "page", raising(state))
        assert_problem(api.http.get("/v1/jobs"), 500, "internal-error")

    def no_connection(*_: object, **__: object) -> None:
        raise PoolTimeout("no connection is free")

    monkeypatch.setattr(job_list, "page", no_connection)
    assert_away(api.http.get("/v1/jobs"))


def test_the_cause_is_told_and_not_once_for_each_request(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("service.api.problems._said_at", float("-inf"))
    monkeypatch.setattr(job_list, "page", raising("40001"))
    for _ in range(5):
        assert_away(api.http.get("/v1/jobs"))
    told = [r.getMessage() for r in caplog.records if "the database does not answer" in r.getMessage()]
    assert len(told) == 1
    assert "told" in told[0]


def test_connections_that_were_cut_are_replaced_unnoticed(api: Api, postgres_server: PostgresServer) -> None:
    job = api.submit()
    cut = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = 'baton'"
    with postgres_server.connect() as admin:
        for _ in range(3):
            assert admin.execute(cut).fetchall()
            assert api.job(job["id"])["status"] == "queued"
            assert api.ask(job["id"], "pause").status_code == 202
            assert api.ask(job["id"], "resume").status_code == 202


def test_a_row_that_stays_locked_ends_the_request(
    start: Callable[..., Api], database_url: str, postgres_server: PostgresServer
) -> None:
    api = start(database_url=f"{database_url}&options=-c%20lock_timeout%3D100ms")
    job_id = api.submit()["id"]
    with api.services.database.write() as session:
        session.execute(select(Job).with_for_update()).all()
        assert_away(api.ask(job_id, "pause"))
        assert api.job(job_id)["status"] == "queued"
    assert api.ask(job_id, "pause").status_code == 202


def test_a_stalled_replica_that_holds_a_row_lock_is_disconnected(start: Callable[..., Api], database_url: str) -> None:
    stuck = start(database_url=f"{database_url}&options=-c%20idle_in_transaction_session_timeout%3D300ms")
    other = start()
    job_id = other.submit()["id"]
    session = stuck.services.database._writers()
    session.execute(select(Job).with_for_update()).all()
    assert other.ask(job_id, "pause").status_code == 202  # within the lock_timeout of the other replica
    with pytest.raises(Exception, match=r"idle-in-transaction|closed|terminat"):
        session.execute(select(Job))
    session.close()
    eventually(lambda: stuck.job(job_id)["status"] == "paused")


def test_a_request_that_is_cut_off_did_nothing(api: Api, postgres_server: PostgresServer) -> None:
    hand = api.running()
    waiting = "SELECT pid FROM pg_stat_activity WHERE usename = 'baton' AND wait_event_type = 'Lock'"
    answers: list[httpx.Response] = []
    with postgres_server.connect() as admin, api.services.database.write() as session:
        session.execute(select(Job).with_for_update()).all()
        thread = threading.Thread(target=lambda: answers.append(hand.checkpoint(3)))
        thread.start()
        found = eventually(lambda: admin.execute(waiting).fetchall())
        admin.execute("SELECT pg_terminate_backend(%s)", [found[0][0]])
        thread.join(60)
    assert_away(answers[0])
    assert api.items(hand.job_id, "checkpoints") == []
    assert hand.checkpoint(3).status_code == 201


def test_a_request_that_waits_outlasts_a_short_outage(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job = api.submit()
    show, reads = api.services.statuses.show, []

    def interrupted(job_id: str) -> Status:
        reads.append(job_id)
        if len(reads) == 1:
            return show(job_id)  # the read before the wait
        if len(reads) < 4:
            raise PoolTimeout("no connection is free")
        api.ask(job_id, "cancel")
        return show(job_id)

    monkeypatch.setattr(api.services.statuses, "show", interrupted)
    monkeypatch.setattr(api.services.watch, "newer", at_once)
    answer = api.http.get(f"/v1/jobs/{job['id']}", params={"wait": 60, "version": job["version"]})
    assert answer.json()["version"] > job["version"]
    assert len(reads) == 4


async def at_once(*_: object) -> bool:
    return True


def test_postgresql_restarts_and_the_service_heals(
    start: Callable[..., Api], postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(readiness.EVERY, "database", 0.2)
    api = start(conductor_seconds=0.05, leader_seconds=1)
    hand = api.running()
    polled: list[httpx.Response] = []
    version = api.job(hand.job_id)["version"]
    url, query = f"/v1/jobs/{hand.job_id}", {"wait": 60, "version": version}
    poll = threading.Thread(target=lambda: polled.append(api.http.get(url, params=query)))
    poll.start()
    eventually(lambda: api.services.watch._waiters)
    for crash in (False, True):
        postgres_server.stop(crash=crash)
        try:
            for answer in (
                api.http.get(url),
                api.http.post("/v1/jobs", json=spec(), headers={"Idempotency-Key": f"key-{crash}"}),
                hand.beat(),
            ):
                assert_away(answer)
            eventually(lambda: api.http.get("/readyz").status_code == 503)
            ready = api.http.get("/readyz")
            assert_problem(ready, 503, "not-ready")
            assert [error["field"] for error in ready.json()["errors"]] == ["database"]
            assert api.http.get("/healthz").status_code == 200
        finally:
            postgres_server.start()
        eventually(lambda: api.http.get("/readyz").status_code == 200)
        assert hand.checkpoint(10 + crash).status_code == 201
        job_id = api.submit()["id"]
        eventually(lambda job_id=job_id: "dispatched" in api.kinds(job_id))
    poll.join(60)
    assert polled[0].json()["version"] > version
