"""Each migration carries the rows that are there, up and down."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from service.db.migrate import migrate

JOB = {
    "name": "small", "spec": "{}", "labels": "{}", "queue": "default", "priority": "normal", "desired": "run",
    "version": 3, "fence": 1, "events": 2, "attempts": 1, "preemptions": 0, "failures": 0, "without_progress": 0,
    "metrics": "{}", "results": "{}", "created_at": "2026-01-01 00:00:00.000000",
}  # fmt: skip
ATTEMPT = {
    "number": 1, "progressed": 1, "dispatches": 1, "not_before": "2026-01-01 00:00:00.000000",
    "created_at": "2026-01-01 00:00:00.000000", "claimed_at": "2026-01-01 00:00:05.000000", "fence": 1,
}  # fmt: skip
CHECKPOINT = {
    "fence": 1, "prefix": "p", "manifest_crc32c": "00000000", "stage": 0, "epoch": 0, "step": 1, "global_step": 1,
    "bytes": 10, "seconds": 0.5, "roles": "[]", "needs": "[]", "state": "committed",
    "committed_at": "2026-01-01 00:00:09.000000",
}  # fmt: skip
EVENT = {"kind": "paused", "actor": "user", "message": "job paused", "data": "{}"}


def insert(connection: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join("?" * len(row))
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(row.values()))


def everything(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    with sqlite3.connect(path) as connection:
        tables = ("jobs", "attempts", "checkpoints", "events")
        return {table: connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall() for table in tables}


def schema(path: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").fetchall()
        return [(name, " ".join(sql.split())) for name, sql in rows]


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database of revision 0001 with a paused and a running job."""
    path = tmp_path / "baton.db"
    migrate(f"sqlite:///{path}")
    migrate(f"sqlite:///{path}", "0001")
    with sqlite3.connect(path) as connection:
        insert(connection, "jobs", {**JOB, "id": "p" * 32, "state": "paused", "desired": "pause"})
        insert(connection, "jobs", {**JOB, "id": "r" * 32, "state": "running"})
        insert(connection, "attempts", {**ATTEMPT, "id": "a" * 32, "job_id": "r" * 32, "state": "running"})
        insert(connection, "attempts", {**ATTEMPT, "id": "b" * 32, "job_id": "p" * 32, "state": "paused"})
        insert(connection, "checkpoints", {**CHECKPOINT, "id": "c" * 32, "job_id": "r" * 32, "attempt_id": "a" * 32})
        for sequence, moment in enumerate(("01", "02"), start=1):
            at = f"2026-01-{moment} 00:00:00.000000"
            insert(connection, "events", {**EVENT, "job_id": "p" * 32, "sequence": sequence, "at": at})
    return path


def test_rows_get_their_new_columns(old: Path) -> None:
    migrate(f"sqlite:///{old}")
    with sqlite3.connect(old) as connection:
        jobs = connection.execute("SELECT paused_at, paused_seconds, restore_failures, overdue_since FROM jobs")
        assert jobs.fetchall() == [("2026-01-02 00:00:00.000000", 0.0, 0, None), (None, 0.0, 0, None)]
        query = "SELECT started_at, seconds, covered_seconds, interval_seconds FROM attempts ORDER BY id"
        assert connection.execute(query).fetchall() == [
            ("2026-01-01 00:00:05.000000", "{}", 0.0, None),
            (None, "{}", 0.0, None),
        ]
        assert connection.execute("SELECT stall_seconds, trained_seconds FROM checkpoints").fetchall() == [(0.0, 0.0)]


def test_down_and_up_again_loses_nothing_that_was_there_before(old: Path) -> None:
    rows, tables = everything(old), schema(old)
    migrate(f"sqlite:///{old}")
    whole = schema(old)
    migrate(f"sqlite:///{old}", "0001")
    assert everything(old) == rows
    assert schema(old) == tables
    migrate(f"sqlite:///{old}")
    assert schema(old) == whole
