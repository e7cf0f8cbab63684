"""Deletion of jobs: the job is hidden at once, and all its rows and objects are deleted in spite of interruptions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import func, select, update

from baton.domain.attempt_objects import upload_part, upload_prefix
from baton.domain.manifest import log_segment, program_object
from service.db.base import Base
from service.db.notification_table import Notification
from service.db.operation_tables import PassFailure
from service.db.tables import Job
from service.db.types import db_now
from service.usecases import deletion
from service.usecases.deletion import LAST_WRITE
from tests.service.helpers import ON_BOTH, Api, WorkerHand, assert_problem, spec
from tests.service.query_recorder import asked
from tests.service.query_scans import whole_tables
from tests.support.moved_clock import MovedClock

KEY = {"Idempotency-Key": "once"}
LONG = LAST_WRITE.total_seconds() + 60
# Tables with rows of a job, by the column that names it.
OF_JOB = {
    "jobs": "id", "idempotency_keys": "job_id", "stages": "job_id", "attempts": "job_id", "checkpoints": "job_id",
    "pointers": "job_id", "epochs": "job_id", "events": "job_id", "artifacts": "job_id", "notifications": "job_id",
    "checkpoint_copies": "job_id", "series": "job_id",
}  # fmt: skip


def life(api: Api) -> WorkerHand:
    """A job with rows in every table and objects of every kind, which has ended."""
    body = spec(labels={"team": "red"})
    hand = api.claim(api.http.post("/v1/jobs", json=body, headers=KEY).json()["id"])
    hand.beat("training")
    for step in range(1, 6):
        assert hand.checkpoint(step, "latest", "best").status_code == 201
    assert hand.epoch(1, 1, 1).status_code == 200
    assert hand.series(loss=[(1, 0.5), (2, 0.25)], acc=[(1, 0.5)]).status_code == 200
    assert hand.artifact().status_code == 200
    assert hand.artifact(content=b"newer").status_code == 200
    store = api.services.store
    store.put(log_segment(hand.job_id, 1, hand.fence, 0), b"a line\n")
    store.put(program_object(hand.job_id, "key", "0" * 8, "a.txt"), b"results")
    store.put(upload_part(upload_prefix(hand.job_id, hand.fence, "0" * 32), 0), b"part")
    with api.services.database.write() as session:
        texts = {"kind": "overdue", "count": 1, "target": "ops", "title": "x", "body": "y"}
        session.add(Notification(job_id=hand.job_id, **texts, created_at=db_now(), next_at=db_now()))
    assert hand.finish("succeeded").status_code == 200
    return hand


def rows(api: Api, job_id: str) -> dict[str, int]:
    """The number of rows of the job in each table that has some."""
    found = {}
    with api.services.database.read() as session:
        for name, column in OF_JOB.items():
            table = Base.metadata.tables[name]
            found[name] = session.execute(select(func.count()).where(table.c[column] == job_id)).scalar_one()
    return {name: number for name, number in found.items() if number}


def objects(api: Api, job_id: str = "") -> list[str]:
    return [blob.name for blob in api.services.store.list(f"jobs/{job_id}")]


def delete(api: Api, job_id: str, query: str = "") -> int:
    return api.http.delete(f"/v1/jobs/{job_id}{query}").status_code


def audited(api: Api, job_id: str) -> list[str]:
    return [one["kind"] for one in api.http.get("/v1/audit").json()["items"] if one["subject"] == job_id]


def test_the_tables_of_a_job_are_known() -> None:
    """A new table that refers to jobs must be added to the deletion, and here."""
    refer = {
        table.name
        for table in Base.metadata.sorted_tables
        for key in table.foreign_keys
        if key.column.table.name == "jobs"
    }
    assert refer - {"job_labels", "job_data", "job_metrics"} == set(OF_JOB) - {"jobs", "pointers"} | {"pointers"}


def test_a_deleted_job_is_shown_nowhere(api: Api) -> None:
    kept, hand, gets = api.submit(), life(api), _gets(api)
    # Other paths are static: pages, the schema.
    lists = [path for path in gets if path.startswith("/v1/") and "{" not in path]
    listed = [path for path in lists if path not in ("/v1/audit", "/v1/curves")]
    listed += ["/v1/jobs?status=succeeded", "/v1/jobs?label=team:red"]
    assert [path for path in listed if hand.job_id in api.http.get(path).text]
    assert delete(api, hand.job_id) == 202
    for path in gets:
        if "{job_id}" in path:
            url = path.format(job_id=hand.job_id, number=1, name="best.keras")
            assert_problem(api.http.get(url), 404, "not-found")
    for path in listed:
        assert hand.job_id not in api.http.get(path).text, path
    assert api.http.get(f"/v1/curves?job={hand.job_id}").json()["items"][0]["points"] == []
    for action in ("pause", "resume", "cancel"):
        assert_problem(api.ask(hand.job_id, action), 404, "not-found")
    assert [one["id"] for one in api.http.get("/v1/jobs").json()["items"]] == [kept["id"]]


def _gets(api: Api) -> list[str]:
    paths = api.http.get("/openapi.json").json()["paths"]
    return [path for path, operations in paths.items() if "get" in operations]


def test_waiting_requests_end_at_the_order(api: Api) -> None:
    """A long poll answers 404, and a stream ends, so that its reader reconnects and gets 404."""
    hand = api.running()

    async def scene() -> tuple[bool, list[bytes]]:
        watch, feed = api.services.watch, api.services.feed
        polled = asyncio.create_task(watch.newer(hand.job_id, 10_000, 60))
        piece = await feed.piece(hand.job_id, 10_000)
        stream = feed.stream(hand.job_id, piece)
        sent = [await anext(stream)]
        reading = asyncio.create_task(_rest(stream))
        assert await asyncio.to_thread(delete, api, hand.job_id, "?force=true") == 202
        return await polled, sent + await reading

    woken, sent = asyncio.run(scene())
    assert woken
    assert b"event: end" not in b"".join(sent)


async def _rest(stream: Any) -> list[bytes]:
    return [piece async for piece in stream]


@ON_BOTH
def test_all_rows_and_objects_go(api: Api, moved: MovedClock) -> None:
    """The objects are deleted at once. The rows are deleted when nothing can write objects any more."""
    other = api.running("w2")
    other.checkpoint(1)
    hand = life(api)
    api.conduct()  # publishes the artifact
    before = rows(api, hand.job_id)
    assert set(before) == set(OF_JOB) - {"checkpoint_copies"}
    with asked() as statements:
        assert delete(api, hand.job_id) == 202
        assert delete(api, hand.job_id) == 204
        api.conduct()
        assert objects(api, hand.job_id) == []
        assert set(rows(api, hand.job_id)) == set(before)
        api.services.store.put(f"jobs/{hand.job_id}/versions/1-9/late", b"of a worker that was suspended")
        problem = assert_problem(api.http.post("/v1/jobs", json=spec(labels={"team": "red"}), headers=KEY), 422,
                                 "idempotency-key-reused")  # fmt: skip
        assert "was deleted" in problem["detail"]
        moved.move(LONG)
        api.conduct()
    assert rows(api, hand.job_id) == {}
    assert delete(api, hand.job_id) == 404
    assert audited(api, hand.job_id) == ["job_deleted", "job_delete_requested", "job_submitted"]
    # All objects that are left belong to the other job.
    assert all(name.startswith(f"jobs/{other.job_id}/") for name in objects(api))
    assert objects(api) != []
    assert whole_tables(api, statements) == {}
    assert api.http.post("/v1/jobs", json=spec(), headers=KEY).status_code == 201


def test_a_job_that_has_not_ended_needs_force(api: Api, moved: MovedClock) -> None:
    hand, queued = api.running(), api.submit()
    problem = assert_problem(api.http.delete(f"/v1/jobs/{hand.job_id}"), 409, "conflict")
    assert "running" in problem["detail"]
    assert "force=true" in problem["detail"]
    for job_id in (hand.job_id, queued["id"]):
        assert delete(api, job_id, "?force=true") == 202
        assert delete(api, job_id) == 204
    assert hand.job_id not in api.http.get("/v1/workers").text
    moved.move(5)
    api.conduct()
    # The worker gets the cancellation as usual, and ends its attempt.
    assert hand.beat().json()["directive"] == "cancel"
    assert hand.finish("cancelled").status_code == 200
    moved.move(LONG)
    api.conduct()
    assert rows(api, hand.job_id) == rows(api, queued["id"]) == {}


def test_a_worker_that_never_answers_does_not_stop_the_deletion(api: Api, moved: MovedClock) -> None:
    hand = api.running()
    assert delete(api, hand.job_id, "?force=true") == 202
    api.let_lease_run_out(hand.attempt_id)
    api.conduct()
    moved.move(LONG)
    api.conduct()
    assert rows(api, hand.job_id) == {}


def test_a_job_of_the_previous_release_that_was_swept_is_found(api: Api, moved: MovedClock) -> None:
    hand = life(api)
    delete(api, hand.job_id)
    with api.services.database.write() as session:
        session.execute(update(Job).values(sweep_at=None))
    moved.move(LONG)
    api.conduct()
    assert rows(api, hand.job_id) == {}


class Killed(Exception):
    """Simulates the end of the process."""


def test_a_deletion_that_was_killed_goes_on(api: Api, moved: MovedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is killed before the first object, and then before each of the many small transactions."""
    hand, store = life(api), api.services.store
    delete(api, hand.job_id)
    moved.move(LONG)
    calls, last = [0], 0

    def then(act: Callable[..., Any]) -> Callable[..., Any]:
        def dies(*args: Any, **options: Any) -> Any:
            calls[0] += 1
            if calls[0] == last:
                raise Killed
            return act(*args, **options)

        return dies

    monkeypatch.setattr(deletion, "ROWS", 3)
    monkeypatch.setattr(store, "delete", then(store.delete))
    monkeypatch.setattr(deletion, "_remove_some", then(deletion._remove_some))
    monkeypatch.setattr(deletion, "_remove_jobs", then(deletion._remove_jobs))
    while "jobs" in rows(api, hand.job_id):
        last, calls[0] = last + 1, 0
        assert last < 100, "the deletion makes no progress"
        with api.services.database.write() as session:
            session.execute(update(PassFailure).values(retry_at=db_now()))
        store.put(f"jobs/{hand.job_id}/late", b"x")
        for step in api.services.reconciler.jobs:
            step.run(forced=True)
    assert last > 5
    assert rows(api, hand.job_id) == {}
    assert objects(api) == []
    assert audited(api, hand.job_id).count("job_deleted") == 1


def test_rows_go_in_small_transactions(api: Api, moved: MovedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    hand = api.running()
    for _ in range(30):
        hand.note()
    hand.finish("succeeded")
    delete(api, hand.job_id)
    monkeypatch.setattr(deletion, "ROWS", 4)
    left, act = [sum(rows(api, hand.job_id).values())], deletion._remove_some

    def remove(unit: Any, job_ids: Any) -> bool:
        more = act(unit, job_ids)
        tables = (Base.metadata.tables[name] for name in OF_JOB)
        of_job = [(one, one.c[OF_JOB[one.name]] == hand.job_id) for one in tables]
        left.append(sum(unit.session.scalar(select(func.count()).select_from(one).where(own)) for one, own in of_job))
        return more

    monkeypatch.setattr(deletion, "_remove_some", remove)
    moved.move(LONG)
    api.conduct()
    assert rows(api, hand.job_id) == {}
    assert {before - after for before, after in pairwise(left)} == {4, (left[0] - 1) % 4}


def test_one_job_whose_store_fails_does_not_stop_the_others(
    api: Api, moved: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = api.running(), api.running("w2")
    for hand in (bad, good):
        hand.checkpoint(1)
        hand.finish("succeeded")
        delete(api, hand.job_id)
    moved.move(LONG)
    store, remove = api.services.store, api.services.store.delete

    def failing(name: str) -> None:
        if bad.job_id in name:
            raise OSError("a bad block")
        remove(name)

    monkeypatch.setattr(store, "delete", failing)
    api.conduct()
    assert rows(api, good.job_id) == {}
    assert "jobs" in rows(api, bad.job_id)
