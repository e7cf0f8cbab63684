"""What is asked all the time is found by an index, however many jobs have ended.

On SQLite, whose plans depend on the schema alone as long as nobody runs ANALYZE.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

import pytest
from sqlalchemy import Engine, event

from service.control.views import Status
from tests.service.helpers import Api, worker_info

GROWING = ("jobs", "job_labels", "attempts", "checkpoints", "epochs", "events", "artifacts", "pointers", "stages")
WHOLE = re.compile(rf"SCAN ({'|'.join(GROWING)})(_\d+)?$")
LISTS = ["", *(f"?status={status}" for status in get_args(Status)), "?label=team:red", "?label=team:red&status=running"]

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@contextmanager
def asked(*engines: Engine) -> Iterator[dict[str, Any]]:
    """Each SELECT that is put to the database meanwhile, with the parameters of its last time."""
    found: dict[str, Any] = {}

    def heard(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            found[statement] = parameters

    for engine in engines:
        event.listen(engine, "before_cursor_execute", heard)
    yield found
    for engine in engines:
        event.remove(engine, "before_cursor_execute", heard)


def whole_tables(engine: Engine, statements: dict[str, Any]) -> dict[str, list[str]]:
    """Of the statements those that look at every row of a table that grows, and how."""
    found = {}
    with engine.connect() as connection:
        for statement, parameters in statements.items():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            if scans := [row.detail for row in plan if WHOLE.match(row.detail)]:
                found[statement] = scans
    return found


def test_a_pass_of_the_conductor(api: Api) -> None:
    api.running()
    conductor = api.services.conductor
    with asked(conductor._database.engine) as statements:
        conductor.run_once()
    assert len(statements) > 8
    assert whole_tables(conductor._database.engine, statements) == {}


def test_passes_polls_and_demand_with_limits_and_all_kinds_of_attempts(start: Callable[..., Api]) -> None:
    api = start(queue_limits={"default": 2}, label_limits={"user:*": 1})
    failed, held = api.running(labels={"user": "ada"}), api.running("w2")
    jobs = [api.submit(labels={"user": name}, queue=queue) for name in ("ada", "bob") for queue in ("default", "gpu")]
    conductor, engine = api.services.conductor, api.services.database.engine
    with asked(conductor._database.engine) as passed, asked(engine) as statements:
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
    assert len(passed) > 15
    assert whole_tables(engine, {**passed, **statements}) == {}


@pytest.mark.parametrize("query", LISTS)
def test_a_list_is_read_in_the_order_of_an_index(api: Api, query: str) -> None:
    engine = api.services.database.engine
    with asked(engine) as statements:
        assert api.http.get(f"/v1/jobs{query}").status_code == 200
    whole = {
        statement: plan
        for statement, plan in whole_tables(engine, statements).items()
        # The newest jobs are the last rows of the table, and the scan ends with the page.
        if not re.search(r"FROM jobs ORDER BY jobs\.number DESC\s+LIMIT", statement)
    }
    assert whole == {}


def test_what_a_worker_and_a_reader_ask(api: Api) -> None:
    engine = api.services.database.engine
    with asked(engine, api.services.leases.engine) as statements:
        hand = api.running()
        hand.beat("training")
        hand.checkpoint(1, "latest")
        hand.artifact()
        api.job(hand.job_id)
        for part in ("attempts", "stages", "history", "checkpoints", "events", "artifacts"):
            assert api.http.get(f"/v1/jobs/{hand.job_id}/{part}").status_code == 200
        assert api.http.get("/v1/workers").status_code == 200
        assert api.http.get("/v1/queues/default?worker=w").json()["held"] == 1
        asking = {"worker": worker_info("w2"), "queues": ["default"], "wait_seconds": 0}
        assert api.http.post("/v1/attempts:next", json=asking).status_code == 200
        hand.finish("succeeded")
    assert len(statements) > 20
    assert whole_tables(engine, statements) == {}


def test_what_prometheus_asks(api: Api) -> None:
    api.running()
    with asked(api.services.database.engine) as statements:
        assert "baton_queue_held" in api.http.get("/metrics").text
    assert 8 <= len(statements) <= 12
    assert whole_tables(api.services.database.engine, statements) == {}


def test_a_scan_is_seen(api: Api) -> None:
    engine = api.services.database.engine
    with asked(engine) as statements, engine.connect() as connection:
        connection.exec_driver_sql("SELECT id FROM jobs WHERE phase = 'training'")
    assert list(whole_tables(engine, statements).values()) == [["SCAN jobs"]]


def test_the_curves_of_a_list(api: Api) -> None:
    hand = api.running()
    assert hand.epoch(1, 1, 1).status_code == 200
    with asked(api.services.database.engine) as statements:
        assert api.http.get("/v1/curves", params={"job": hand.job_id}).json()["items"][0]["points"]
    assert statements
    assert whole_tables(api.services.database.engine, statements) == {}
