"""Every statement finds its rows by an index, however many rows there are: no statement scans a table that grows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import pytest

from service.usecases import job_list
from service.usecases.job_filters import Status
from tests.service.helpers import ON_BOTH, ON_POSTGRESQL, Api, WorkerHand, worker_info
from tests.service.of_projects import submitted
from tests.service.pushes import Push, submit
from tests.service.query_recorder import asked
from tests.service.query_scans import whole_tables
from tests.service.starting_points import longer, saved, start_from, trained
from tests.support.bundles import bundle, digest_of
from tests.support.listener import listening

pytestmark = ON_BOTH

FILTERS = [
    *(f"status={status}" for status in get_args(Status)),
    "status=failed&status=pausing&status=succeeded",
    "label=team:red",
    "label=team:red&label=user:ada",
    "label=team:red&status=running",
    "name=small",
    "name=sm*",
    "queue=default",
    "owner=user",
    "project=default",
    "id=a",
    *(f"{time}_{side}=2026-01-01T00:00:00Z" for time in ("created", "ended") for side in ("after", "before")),
    "created_after=2026-01-01T00:00:00Z&created_before=2036-01-01T00:00:00Z&status=running",
    "metric=loss<0.5",
    "metric=best:loss>=0.5&metric=val_loss<9",
]
SORTS = [f"sort={way}{key}" for way in ("", "-") for key in ("created", "ended", "name", "status", "metric:loss")]


@pytest.fixture
def api(start: Callable[..., Api]) -> Iterator[Api]:
    """A service with the features that need extra queries: limits and a notification target."""
    with listening() as listener:
        yield start(notify_urls=f"ops={listener.url('ops')}", queue_limits={"default": 50}, label_limits={"team:*": 50})


def a_life(api: Api) -> WorkerHand:
    """Fill every table: submit a job, end one attempt and hold the next one."""
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


def test_pushed_data(start: Callable[..., Api]) -> None:
    api = start(data_retention=86_400)
    with asked() as statements:
        for name in ("photos", "old"):
            Push().push(api, name)
        job = submit(api, "photos").json()
        for url in ("/v1/data", "/v1/data?cursor=7", "/v1/data/photos", "/v1/data/photos?cursor=7"):
            assert api.http.get(url).status_code == 200
        assert submit(api, "photo").status_code == 422
        assert api.http.delete("/v1/data/photos").status_code == 409
        assert api.http.delete("/v1/data/old").status_code == 200
        for _ in range(2):
            api.conduct()
    assert job["status"] == "queued"
    assert len(statements) > 20
    assert whole_tables(api, statements) == {}


def test_code(start: Callable[..., Api]) -> None:
    api = start(code_bytes=0)  # with a limit, a push adds up all bundles
    kept, other = bundle({"train.py": b"1"}), bundle({"other.py": b"1"})
    program = {"command": ["python", "train.py"], "code": f"sha256:{digest_of(kept)}"}
    with asked() as statements:
        for content in (kept, other, kept):
            assert api.http.put(f"/v1/code/{digest_of(content)}", content=content).is_success
        assert api.http.get(f"/v1/code/{digest_of(other)}").status_code == 200
        api.submit({"name": "mine", "program": program})
        for _ in range(2):
            api.conduct()
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


@pytest.fixture
def listed(api: Api) -> Api:
    """With jobs that have metrics, so that each list has several pages."""
    for value in (1.0, 2.0, 3.0):
        hand = api.running(f"w{value:g}", labels={"team": "red", "user": "ada"})
        assert hand.epoch(1, 1, 1, loss=value).status_code == 200
        hand.finish("succeeded")
    return api


@pytest.mark.parametrize("few", [job_list.FEW, -1])
def test_each_filter_and_each_sort_is_read_by_an_index(listed: Api, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """`few`: with -1, each condition counts as one with very many jobs."""
    monkeypatch.setattr(job_list, "FEW", few)
    queries = ["", *FILTERS, *SORTS, *(f"{one}&{sort}" for one in FILTERS for sort in SORTS[:5])]
    with asked() as statements:
        for query in queries:
            page = listed.http.get(f"/v1/jobs?limit=1&{query}").json()
            if page["next_cursor"]:
                more = listed.http.get(f"/v1/jobs?limit=1&{query}&cursor={page['next_cursor']}")
                assert more.status_code == 200, query
    assert len(statements) > 100
    assert whole_tables(listed, statements) == {}


@ON_POSTGRESQL
def test_a_backlog_of_another_status_is_not_read(api: Api) -> None:
    """PostgreSQL would read all jobs by primary key, newest first, if that index gave the order of the page."""
    with asked() as statements:
        assert api.http.get("/v1/jobs?status=succeeded").status_code == 200
    listed = next(one for one in statements if "FROM jobs" in one)
    with api.services.database.engine.connect() as connection:
        plan = "\n".join(connection.exec_driver_sql(f"EXPLAIN {listed}", statements[listed]).scalars())
        connection.exec_driver_sql("SET LOCAL enable_sort = off")
        plan += "\n".join(connection.exec_driver_sql(f"EXPLAIN {listed}", statements[listed]).scalars())
    assert "Backward using pk_jobs" not in plan
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
    paths += ["/v1/events", "/v1/events?sort=-number&after=3", f"/v1/attempts/{hand.attempt_id}"]
    paths += [f"/v1/jobs/{hand.job_id}/{part}?limit=1" for part in parts]
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


def test_usage_and_the_queue(api: Api) -> None:
    for project in ("aster", "birch"):
        submitted(api, project, 2)
    hand = api.running()
    hand.finish("preempted")
    with asked() as statements:
        for by in ("project", "owner", "job", "device", "month", "day"):
            assert api.http.get(f"/v1/usage?by={by}").status_code == 200
        assert api.http.get("/v1/usage?project=aster").status_code == 200
        for url in ("/v1/queue", "/v1/queue?queue=default"):
            assert api.http.get(url).status_code == 200
        again = api.claim(hand.job_id)
        again.finish("preempted")
        assert again.post("quarantine", prefix="x", message="bad").status_code == 409
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


def test_jobs_made_from_other_jobs(api: Api) -> None:
    with asked() as statements:
        source, _, _ = trained(api)
        job = start_from(api, source.job_id, set=longer())["id"]
        saved(source, (1, 0, 20, 30), "latest")
        api.submit({"clone": source.job_id})
        for _ in range(2):
            api.conduct()
        for url in ("/v1/jobs", f"/v1/jobs/{source.job_id}/children", f"/v1/jobs/{source.job_id}/children?cursor=9"):
            assert api.http.get(url).status_code == 200
    assert api.job(job)["checkpoint"]["global_step"] == 20
    assert whole_tables(api, statements) == {}
