"""What is asked is found by an index, however many rows a year of use leaves: no statement reads a table that grows.

On SQLite the plan is taken as it is: without ANALYZE it depends on the schema alone. On PostgreSQL reading whole tables
and joining them whole is switched off: a statement that still does has no index that serves it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest
from sqlalchemy import Connection

from service.db.tables import Base
from service.usecases.job_filters import Status
from tests.service.helpers import ON_POSTGRESQL, Api, WorkerHand, worker_info
from tests.service.query_recorder import asked
from tests.support.listener import listening

FEW = {"leaders", "replicas", "signing_keys", "stores"}
"""Tables of as many rows as there are replicas, keys, or stores: a replica that ended is forgotten within a day."""

COUNTED = "SELECT pass_failures.step, count(*)"
"""For the metrics: what fails now is counted, and no more than that is kept."""

GROWING = {table.name for table in Base.metadata.sorted_tables} - FEW
SCAN = re.compile(r"SCAN (\w+)(?: AS \w+)?(?: USING (?:COVERING )?INDEX (\w+))?")
# The newest of a table are its last rows by primary key: the scan ends with the page.
NEWEST = re.compile(
    r"FROM (\w+) WHERE \1\.number < \S+ ORDER BY \1\.number DESC\s+LIMIT|FROM (\w+) ORDER BY \2\.number DESC\s+LIMIT"
)
LISTS = ["", *(f"?status={status}" for status in get_args(Status)), "?label=team:red", "?label=team:red&status=running"]


def whole_tables(api: Api, statements: dict[str, Any]) -> dict[str, list[str]]:
    """Of the statements those that look at every row of a table that grows, and how."""
    engine, found = api.services.database.engine, {}
    with engine.connect() as connection:
        look = _of_postgresql if engine.dialect.name == "postgresql" else _of_sqlite
        partial = _partial_indexes(connection)
        for statement, parameters in statements.items():
            fine = NEWEST.search(statement) or statement.startswith(COUNTED)
            scans = [] if fine else list(look(connection, statement, parameters, partial))
            if scans:
                found[" ".join(statement.split())] = scans
    return found


def _partial_indexes(connection: Connection) -> set[str]:
    """Those hold the few rows that their condition is about: to read one of them whole is what it is for."""
    indexes = [index for table in Base.metadata.sorted_tables for index in table.indexes]
    return {str(one.name) for one in indexes if one.dialect_options[connection.dialect.name]["where"] is not None}


def _of_sqlite(connection: Connection, statement: str, parameters: Any, partial: set[str]) -> Iterator[str]:
    for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
        match = SCAN.match(row.detail)
        if match and match[1] in GROWING and match[2] not in partial:
            yield row.detail


def _of_postgresql(connection: Connection, statement: str, parameters: Any, partial: set[str]) -> Iterator[str]:
    # Of a few rows PostgreSQL reads all to join them: what it would do with many is to look each one up.
    for way in ("seqscan", "hashjoin", "mergejoin"):
        connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
    growing = {name for name, table in _indexes(connection) if table in GROWING}
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()[0]["Plan"]
    for node in _nodes(plan):
        table, index = node.get("Relation Name"), node.get("Index Name")
        if node["Node Type"] == "Seq Scan" and table in GROWING:
            yield f"Seq Scan {table}"
        elif index in growing - partial and "Index Cond" not in node:
            yield f"{node['Node Type']} {index}"


def _indexes(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.exec_driver_sql("SELECT indexname, tablename FROM pg_indexes WHERE schemaname = 'public'")
    return [(row.indexname, row.tablename) for row in rows]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)


@pytest.fixture
def api(start: Callable[..., Api]) -> Iterator[Api]:
    """With all that makes a service ask more: limits, and somebody to be told."""
    with listening() as ear:
        yield start(notify_urls=f"ops={ear.url('ops')}", queue_limits={"default": 50}, label_limits={"team:*": 50})


def a_life(api: Api) -> WorkerHand:
    """A job with rows in every table: it is held, and one attempt of it is over."""
    key = {"Idempotency-Key": "once"}
    body = {"plan": "digits-demo", "set": {"labels": {"team": "red"}, "notify": {"targets": ["ops"], "recoveries": 1}}}
    job_id = api.http.post("/v1/jobs", json=body, headers=key).json()["id"]
    assert api.http.post("/v1/jobs", json=body, headers=key).status_code == 200
    first = api.claim(job_id)
    first.beat("training", progress=progress(1))
    for step in range(1, 6):
        assert first.checkpoint(step, "latest", "best").status_code == 201
    first.finish("preempted")
    hand = api.claim(job_id)
    hand.beat("training", progress=progress(1))
    return hand


def progress(step: int) -> dict[str, int]:
    return {
        "stage": 1, "stages": 2, "epoch": 1, "epochs": 2, "step": step, "steps": 9, "global_step": step,
        "total_steps": 18,
    }  # fmt: skip


def test_a_pass_of_each_thread(api: Api) -> None:
    hand = a_life(api)
    hand.artifact(content=b"one")
    hand.artifact(content=b"two")
    lost = api.running("w2")
    api.let_lease_run_out(lost.attempt_id)
    api.submit()
    api.ask(hand.job_id, "pause")
    with asked() as statements:
        for _ in range(3):
            api.conduct()
    assert api.attempt(lost.job_id)["state"] == "queued"
    assert len(statements) > 20
    assert whole_tables(api, statements) == {}


def test_passes_polls_and_demand_with_limits_and_all_kinds_of_attempts(start: Callable[..., Api]) -> None:
    api = start(queue_limits={"default": 2}, label_limits={"user:*": 1})
    failed, held = api.running(labels={"user": "ada"}), api.running("w2")
    jobs = [api.submit(labels={"user": name}, queue=queue) for name in ("ada", "bob") for queue in ("default", "gpu")]
    with asked() as statements:
        api.conduct()
        failed.finish("failed")
        api.services.redis.flushall()
        api.claim(jobs[1]["id"], "w3")
        api.ask(jobs[2]["id"], "cancel")
        for _ in range(2):
            api.conduct()
        asking = {"worker": worker_info("w4"), "queues": ["default", "gpu"], "wait_seconds": 0}
        assert api.http.post("/v1/attempts:next", json=asking).status_code == 200
        assert api.http.get("/v1/queues/gpu").status_code == 200
        assert api.http.get("/metrics").status_code == 200
        held.finish("succeeded")
    assert len(statements) > 15
    assert whole_tables(api, statements) == {}


@pytest.mark.parametrize("query", LISTS)
def test_a_list_is_read_in_the_order_of_an_index(api: Api, query: str) -> None:
    sign = "&" if query else "?"
    with asked() as statements:
        assert api.http.get(f"/v1/jobs{query}").status_code == 200
        assert api.http.get(f"/v1/jobs{query}{sign}cursor=7").status_code == 200
    assert whole_tables(api, statements) == {}


@ON_POSTGRESQL
def test_a_backlog_of_another_status_is_not_read(api: Api) -> None:
    """PostgreSQL would walk through all jobs, newest first, if that gave the order of the page."""
    with asked() as statements:
        assert api.http.get("/v1/jobs?status=succeeded").status_code == 200
    listed = next(one for one in statements if "FROM jobs" in one)
    with api.services.database.engine.connect() as connection:
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {listed}", statements[listed]).scalars())
        connection.exec_driver_sql("SET LOCAL enable_sort = off")
        plan += "\n".join(connection.exec_driver_sql(f"EXPLAIN {listed}", statements[listed]).scalars())
    assert "pk_jobs" not in plan
    assert "ix_jobs_state_number" in plan


def test_a_claim_does_not_read_all_earlier_attempts(api: Api) -> None:
    hand = a_life(api)
    hand.finish("preempted")
    with asked() as statements:
        api.claim(hand.job_id)
    about_versions = [one for one in statements if "reason = 'worker_too_old'" in one]
    assert about_versions
    with api.services.database.engine.connect() as connection:
        explain = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        if explain == "EXPLAIN":
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        for one in about_versions:
            plan = str(connection.exec_driver_sql(f"{explain} {one}", statements[one]).all())
            assert "ix_attempts_too_old" in plan


def test_what_a_worker_says(api: Api) -> None:
    with asked() as statements:
        hand = a_life(api)
        assert hand.epoch(1, 1, 1, best={"metric": "loss", "value": 1.0, "stage": 1, "epoch": 1}).status_code == 200
        bad = hand.checkpoint(7).json()["prefix"]
        assert hand.post("quarantine", prefix=bad, message="bad").status_code == 200
        assert hand.artifact(content=b"one").status_code == 200
        assert hand.artifact(content=b"two").status_code == 200
        assert hand.note().status_code == 201
        assert hand.finish("preempted").status_code == 200
        report = {**worker_info("w3"), "queues": ["default"], "busy": False}
        assert api.http.post("/v1/workers", json=report).status_code == 204
        asking = {"worker": worker_info("w2"), "queues": ["default"], "wait_seconds": 0}
        assert api.http.post("/v1/attempts:next", json=asking).status_code == 200
        assert api.claim(hand.job_id).finish("failed", reason="process_died").status_code == 200
        assert api.running().finish("succeeded").status_code == 200
    assert len(statements) > 40
    assert whole_tables(api, statements) == {}


def test_an_end_with_changed_data_reads_no_events(api: Api) -> None:
    hand = a_life(api)
    with asked() as statements:
        assert hand.finish("failed", reason="data_changed", message="x", phase="restoring").status_code == 200
    assert api.job(hand.job_id)["status"] == "paused"
    assert whole_tables(api, statements) == {}
    assert [one for one in statements if one.startswith("SELECT") and "FROM events" in one] == []
    assert all("LIMIT" in one for one in statements if "FROM workers" in one)


def test_what_a_user_asks(api: Api) -> None:
    hand = a_life(api)
    token = api.token("read", "work", name="ada")
    parts = ("attempts", "stages", "history", "checkpoints", "events", "artifacts")
    paths = [f"/v1/jobs/{hand.job_id}", *(f"/v1/jobs/{hand.job_id}/{part}" for part in parts)]
    paths += ["/v1/workers", "/v1/extensions", "/v1/queues/default?worker=w", "/v1/audit", "/v1/audit?before=9"]
    paths += ["/v1/tokens", "/v1/notifications/targets", f"/v1/curves?job={hand.job_id}", "/readyz", "/metrics"]
    with asked() as statements:
        for path in paths:
            assert api.http.get(path).status_code == 200, path
        header = {"Authorization": f"Bearer {token['token']}"}
        assert api.http.get("/v1/jobs", headers=header).status_code == 200
        odd = {"plan": "digits-demo", "set": {"network": {"name": "mine"}}}
        assert api.http.post("/v1/jobs", json=odd).status_code == 422
        for order in ("pause", "resume", "cancel"):
            api.ask(hand.job_id, order)
        assert api.http.post(f"/v1/tokens/{token['id']}/revoke").status_code == 200
    assert len(statements) > 30
    assert whole_tables(api, statements) == {}


def statements_of(*texts: str) -> dict[str, Any]:
    return dict.fromkeys(texts, ())


def test_a_scan_is_seen(api: Api) -> None:
    wrong = statements_of(
        "SELECT id FROM jobs WHERE phase = 'training'",
        "SELECT name FROM workers WHERE busy",
        "UPDATE notifications SET tries = 0 WHERE tries = 7",
    )
    assert len(whole_tables(api, wrong)) == 3
    right = statements_of("SELECT name FROM workers WHERE last_seen_at > '2026-01-01'", "SELECT name FROM leaders")
    assert whole_tables(api, right) == {}
