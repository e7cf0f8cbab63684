"""Error bodies, /readyz and the log name a full disk, and the service is not ready while the disk is full."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from service.api import readiness
from service.api.readiness import OK, check_database, check_store
from service.db import disk_space
from service.usecases import job_list
from tests.service.full_disk import not_ready
from tests.service.helpers import ON_BOTH, ON_POSTGRESQL, ON_SQLITE, Api, assert_problem, eventually, spec
from tests.service.query_errors import raising
from tests.support.mounts import can_unshare
from tests.support.redis import RedisServer

pytestmark = ON_BOTH


@pytest.mark.process
@ON_SQLITE
def test_disks_fill_up_and_are_made_room_on(
    tmp_path: Path, redis_server: RedisServer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "full"
    if can_unshare():
        command = ["unshare", "-rm", sys.executable, "-m", "tests.service.full_disk", str(root), redis_server.url]
        answer = subprocess.run(command, check=False, capture_output=True, text=True)
        assert answer.returncode == 0, answer.stderr[-3000:]
    else:  # this machine does not allow private mounts: simulate a full disk
        monkeypatch.setattr(disk_space, "free_bytes", lambda _path: 0)
        assert "is full: make room" in check_database(api.services.leases)


@ON_SQLITE
def test_a_database_that_takes_no_further_page(
    start: Callable[..., Api], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The small write of the readiness check still succeeds then, so readiness must also use the errors of requests."""
    monkeypatch.setattr("service.api.problems._said_at", float("-inf"))
    monkeypatch.setitem(readiness.EVERY, "database", 0.05)
    api = start()
    full = [True]

    def begun(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {1 if full[0] else 2**30}")

    for database in (api.services.database, api.services.leases):
        event.listen(database.engine, "begin", begun)
    answer = eventually(lambda: next(filter(lambda a: a.status_code != 201, [submitted(api)]), None))
    problem = assert_problem(answer, 503, "disk-full")
    file = f"the disk of the database {tmp_path}/baton.db"
    assert problem["detail"].startswith(file)
    # The disk of this machine has space: the error must name the other cause.
    assert "temporary files" in problem["detail"]
    assert check_database(api.services.leases) == OK
    assert not_ready(api)["database"] == problem["detail"]
    told = [r.getMessage() for r in caplog.records if r.getMessage().startswith(file)]
    assert len(told) == 1
    full[0] = False
    assert submitted(api).status_code == 201
    monkeypatch.setattr(readiness, "FAILURE_SECONDS", 0.0)
    assert not_ready(api) == {}


def submitted(api: Api) -> Any:
    return api.http.post("/v1/jobs", json=spec(labels={f"k{n}": "v" * 60 for n in range(10)}))


@ON_SQLITE
def test_an_io_error_is_not_reported_as_a_full_disk(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    from sqlalchemy.exc import OperationalError

    cause = sqlite3.OperationalError("disk I/O error")
    cause.sqlite_errorcode = sqlite3.SQLITE_IOERR | 3 << 8
    url = api.services.database.engine.url
    error = OperationalError("UPDATE", {}, cause)
    assert disk_space.full_disk(error, url) is None
    assert "fails (disk I/O error)" in (disk_space.failing_disk(error, url) or "")
    monkeypatch.setattr(disk_space, "free_bytes", lambda _path: 4096)
    assert "is full" in (disk_space.full_disk(error, url) or "")


@ON_POSTGRESQL
def test_a_server_whose_disk_is_full(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_list, "page", raising("53100"))
    problem = assert_problem(api.http.get("/v1/jobs"), 503, "disk-full")
    assert problem["detail"].startswith("the disk of the PostgreSQL server is full (told)")
    assert not_ready(api) == {"database": problem["detail"]}


def test_a_check_of_the_database_commits_a_write(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    database = api.services.leases
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda _c, _k, statement, *_: statements.append(statement))
    committed: list[Any] = []
    event.listen(database.engine, "commit", committed.append)
    assert check_database(database) == OK
    assert [one for one in statements if one.startswith("UPDATE probes")]
    assert committed


def test_a_check_of_a_directory_writes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_fd: int, _data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert check_store(api.services.store) == OK
    monkeypatch.setattr(os, "write", full)
    assert check_store(api.services.store).endswith("is full; make room and try again.")
