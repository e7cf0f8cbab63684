"""Ended jobs are deleted in batches: few transactions for many jobs, and a job that fails does not stop the others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event, select

from service.db.tables import Job
from service.usecases.deletion import LAST_WRITE
from tests.service.failing import due_again, failures, poisoned
from tests.service.helpers import Api
from tests.support.moved_clock import MovedClock

LONG = LAST_WRITE.total_seconds() + 60


def ordered(api: Api, many: int) -> list[str]:
    """The ids of so many cancelled jobs whose deletion is ordered."""
    jobs = [api.submit()["id"] for _ in range(many)]
    for job_id in jobs:
        assert api.http.delete(f"/v1/jobs/{job_id}?force=true").status_code == 202
    return jobs


def delete_due(api: Api) -> None:
    for step in api.services.reconciler.jobs:
        step.run(forced=True)


def there(api: Api) -> set[str]:
    with api.services.database.read() as session:
        return set(session.scalars(select(Job.id)))


@contextmanager
def transactions() -> Iterator[list[str]]:
    """The write transactions that this thread begins in the context. Other threads of the service write too."""
    begun: list[str] = []
    here = threading.get_ident()

    def heard(_conn: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if statement == "BEGIN IMMEDIATE" and threading.get_ident() == here:
            begun.append(statement)

    event.listen(Engine, "before_cursor_execute", heard)
    try:
        yield begun
    finally:
        event.remove(Engine, "before_cursor_execute", heard)


def test_one_job_that_cannot_be_deleted_does_not_stop_its_batch(api: Api, moved: MovedClock) -> None:
    """It is tried again after its backoff, alone in `pass_failures`."""
    first, bad, last = ordered(api, 3)
    moved.move(LONG)
    with poisoned(api, "DELETE", f"OLD.id = '{bad}'"):
        for _ in range(2):
            delete_due(api)
            assert there(api) == {bad}
            assert {key: row.tries for key, row in failures(api).items()} == {("delete_job", bad): 1}
        assert "poisoned" in failures(api)["delete_job", bad].error
    due_again(api)
    delete_due(api)
    assert there(api) == set()
    assert failures(api) == {}
    audited = [one["subject"] for one in api.http.get("/v1/audit").json()["items"] if one["kind"] == "job_deleted"]
    assert sorted(audited) == sorted([first, bad, last])


def test_one_job_that_cannot_be_planned_does_not_stop_its_batch(api: Api) -> None:
    """The order was given just now, so the rows stay for two hours."""
    first, bad, last = ordered(api, 3)
    with poisoned(api, "UPDATE OF sweep_at", f"NEW.id = '{bad}'"):
        delete_due(api)
    assert set(failures(api)) == {("delete_job", bad)}
    with api.services.database.read() as session:
        late = select(Job.id).where(Job.sweep_at > Job.deleted_at)
        assert set(session.scalars(late)) == {first, last}


def test_the_number_of_transactions_does_not_grow_with_the_number_of_jobs(api: Api, moved: MovedClock) -> None:
    counts = []
    for many in (2, 8):
        ordered(api, many)
        with transactions() as planning:
            delete_due(api)
        moved.move(LONG)
        with transactions() as removing:
            delete_due(api)
        assert there(api) == set()
        counts.append((len(planning), len(removing)))
    assert counts[0] == counts[1]
