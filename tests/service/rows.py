"""Rows for every table, inserted with SQL. They are the contents of a database before a migration."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, inspect

JOBS = ("p" * 32, "r" * 32)
TIME = "2026-01-01 00:00:00.000000"
_JOB = {
    "name": "small ü", "spec": {"name": "small"}, "labels": {"a": "b"}, "queue": "default", "priority": "normal",
    "version": 3, "fence": 1, "events": 2, "attempts": 1, "preemptions": 0, "failures": 0, "without_progress": 0,
    "restore_failures": 2, "paused_seconds": 1.5, "metrics": {"loss": "NaN"}, "results": {}, "created_at": TIME,
    "furthest": {"global_step": 2**40}, "gpu_us": 2**40, "cost": 2**40, "metrics_listed": 2,
}  # fmt: skip
_ATTEMPT = {
    "number": 1, "progressed": True, "dispatches": 1, "not_before": TIME, "created_at": TIME, "fence": 1,
    "claimed_at": "2026-01-01 00:00:05.000000", "seconds": {"train": 2.5}, "covered_seconds": 2.5, "end_step": 2**40,
    "gpus": 2, "hourly_price": 2**40,
}  # fmt: skip
_CHECKPOINT = {
    "fence": 1, "manifest_crc32c": "00000000", "stage": 0, "epoch": 0, "step": 1, "global_step": 2**40,
    "bytes": 2**40, "seconds": 0.5, "stall_seconds": 0.25, "trained_seconds": 2.5, "roles": ["latest"], "needs": [],
    "state": "committed", "committed_at": "2026-01-01 00:00:09.000000",
}  # fmt: skip
_EPOCH = {
    "epoch": 1, "fence": 1, "stage": 1, "stage_epoch": 1, "global_step": 2**40, "image_size": 16, "batch_size": 64,
    "learning_rate": 1e-3, "loss": None, "accuracy": 0.1, "val_loss": 1 / 3, "attempt": 1, "finished_at": TIME,
    "metrics": {"loss": "NaN", "dice": 0.5},
}  # fmt: skip
# Parents come before children. A column that a revision does not have yet is left out.
ROWS: dict[str, list[dict[str, Any]]] = {
    "jobs": [
        {**_JOB, "id": JOBS[0], "state": "paused", "desired": "pause", "source_job": JOBS[1],
         "source": {"kind": "from"}},
        {**_JOB, "id": JOBS[1], "state": "running", "desired": "run", "data": "photos@sha256:" + "1" * 64,
         "owner": "ci", "project": "vision"},
    ],
    "job_labels": [{"job_number": 1, "key": "a", "value": "b"}],
    "job_metrics": [{"job_number": 1, "name": "best:val_loss", "value": 0.25}],
    # The migration writes the row of this table.
    "event_feed": [],
    "job_data": [{"job_number": 1, "name": "train", "reference": "photos@sha256:" + "2" * 64}],
    "projects": [
        {"name": "vision", "created_at": TIME, "created_by": "user", "max_attempts": 2, "max_data_bytes": 2**40}
    ],
    "idempotency_keys": [{"principal": "user", "key": "k", "body": "d" * 64, "job_id": JOBS[0], "created_at": TIME}],
    "stages": [
        {"job_id": job, "stage": 1, "name": "one", "state": "active", "epochs": 2, "image_size": 16, "batch_size": 64}
        for job in JOBS
    ],
    "attempts": [
        {**_ATTEMPT, "id": "a" * 32, "job_id": JOBS[1], "state": "running"},
        {**_ATTEMPT, "id": "b" * 32, "job_id": JOBS[0], "state": "paused"},
    ],
    "checkpoints": [{**_CHECKPOINT, "id": "c" * 32, "job_id": JOBS[1], "attempt_id": "a" * 32, "prefix": "p"}],
    "pointers": [{"job_id": JOBS[1], "role": "latest", "checkpoint_id": "c" * 32}],
    "checkpoint_copies": [
        {
            "job_id": JOBS[0], "source_job": JOBS[1], "checkpoints": [{"prefix": "p"}], "state": "pending",
            "asked_at": TIME,
        }
    ],
    "epochs": [{**_EPOCH, "job_id": JOBS[1]}],
    "series": [
        {
            "number": 1, "job_id": JOBS[1], "name": "train/loss", "width": 1, "count": 2, "first_step": 0,
            "last_step": 2**40, "last": None, "last_at": 1.8e9, "minimum": 0.5, "maximum": 0.5,
        }
    ],
    "series_points": [
        {"series": 1, "step": 0, "value": 0.5, "at": 1.8e9}, {"series": 1, "step": 2**40, "value": None, "at": 1.8e9}
    ],
    "events": [
        {"job_id": JOBS[0], "sequence": number, "kind": "paused", "actor": "user", "message": "x", "data": {}, "at": at,
         "feed": number}
        for number, at in ((1, TIME), (2, "2026-01-02 00:00:00.000000"))
    ],
    "artifacts": [
        {
            "job_id": JOBS[1], "name": "best.keras", "object": "o", "size": 2**40, "crc32c": "00000000",
            "content_type": "x/y", "fence": 1, "committed_at": TIME,
        }
    ],
    "garbage": [{"object": "old", "not_before": TIME}],
    "data_objects": [
        {"number": 1, "name": "data/manifests/" + "1" * 64, "size": 9, "used_at": TIME, "seen_at": TIME, "holders": 1},
        {"number": 2, "name": "data/packs/" + "2" * 64, "size": 2**24, "used_at": TIME, "holders": 1},
        {"number": 3, "name": "code/" + "3" * 64 + ".tar", "size": 2**20, "used_at": TIME, "holders": 0},
    ],
    "code_bundles": [
        {
            "digest": "3" * 64, "object": 3, "files": 2, "bytes": 2**20, "created_at": TIME, "created_by": "user",
            "last_used_at": TIME,
        }
    ],
    "data_parts": [{"whole": 1, "part": 2}],
    "project_objects": [{"project": "vision", "object": 2, "used_at": TIME}],
    "data_versions": [
        {
            "name": "photos", "digest": "1" * 64, "manifest": 1, "kind": "folder", "files": 3, "bytes": 2**40,
            "created_at": TIME, "created_by": "user", "last_used_at": TIME,
        }
    ],
    "usage": [
        {
            "attempt_id": "a" * 32, "day": "2026-01-01", "job_id": JOBS[1], "job_name": "small ü", "attempt": 1,
            "project": "vision", "owner": "ci", "device": "Tesla T4", "gpus": 1, "hourly_price": 2**40, "us": 2**40,
            "trained_us": 2, "redone_us": 1, "cost": 2**40, "trained_cost": 2, "redone_cost": 1,
        }
    ],
    "recent_use": [{"project": "vision", "seconds": 1 / 3, "at": TIME}],
    "workers": [
        {
            "name": "w1", "host": "box", "pid": 2**40, "version": "1", "device": "cpu", "queues": ["default"],
            "busy": False, "last_seen_at": TIME, "project": "vision",
        }
    ],
    "leaders": [{"name": "conductor", "holder": "box:7", "term": 2**40, "expires_at": TIME}],
    "pass_failures": [
        {"step": "expiry", "item": "7" * 32, "tries": 2, "error": "KeyError: x", "first_at": TIME, "retry_at": TIME}
    ],
    "replicas": [{"name": "box:7", "started_at": TIME, "last_write_at": TIME}],
    "stores": [{"id": "ab" * 16, "url": "file:///store", "first_used_at": TIME, "last_used_at": TIME}],
    "probes": [{"id": 1, "at": TIME}],
    # The migrations write the row of this table.
    "schema_compatibility": [],
    "notifications": [
        {
            "job_id": JOBS[0], "kind": "recovering", "count": 4, "target": "ops", "title": "x", "body": "y\nz",
            "state": "waiting", "tries": 2, "created_at": TIME, "next_at": TIME,
        }
    ],
    "tokens": [
        {
            "id": "0123456789ab", "name": "ci", "digest": "d" * 64, "scopes": ["read", "submit"], "created_at": TIME,
            "created_by": "user", "queues": ["default"], "expires_at": "2026-02-01 00:00:00.000000",
        }
    ],
    "sessions": [{"id": "e" * 64, "token_id": "0123456789ab", "created_at": TIME, "expires_at": TIME}],
    "signing_keys": [{"name": "attempts", "secret": "f" * 64, "created_at": TIME}],
    "audit": [
        {"at": TIME, "kind": "token_created", "actor": "user", "subject": "0123456789ab", "message": "x", "data": {}}
    ],
}  # fmt: skip


def tables(connection: Connection) -> list[str]:
    """The names of all tables except Alembic's."""
    return [name for name in inspect(connection).get_table_names() if name != "alembic_version"]


def fill(connection: Connection) -> None:
    """Insert rows into every table."""
    there = tables(connection)
    assert set(there) <= set(ROWS), "ROWS has no rows for a table: add some, so that its migration is tested with them"
    for name, rows in ROWS.items():
        if name in there:
            columns = {column["name"] for column in inspect(connection).get_columns(name)}
            for row in rows:
                values = {key: _literal(connection, value) for key, value in row.items() if key in columns}
                statement = f"INSERT INTO {name} ({', '.join(values)}) VALUES ({', '.join(values.values())})"
                connection.exec_driver_sql(statement.replace("%", "%%"))


def _literal(connection: Connection, value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool | int | float):
        return repr(value).upper()
    text = value if isinstance(value, str) else json.dumps(value)
    if text.startswith("2026-") and connection.dialect.name == "postgresql":
        text += "+00"
    return f"'{text}'"


def everything(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables."""
    return {
        name: [
            dict(row._mapping) for row in connection.exec_driver_sql(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
        ]
        for name in tables(connection)
    }


def schema(connection: Connection) -> dict[str, Any]:
    """The columns, keys, checks and indexes of each table, by name of the table."""
    look = inspect(connection)
    facts = ("get_pk_constraint", "get_check_constraints", "get_indexes", "get_unique_constraints", "get_foreign_keys")
    return {
        name: {
            "columns": {column["name"]: str({**column, "comment": None}) for column in look.get_columns(name)},
            **{fact: sorted(map(_told, _listed(getattr(look, fact)(name)))) for fact in facts},
        }
        for name in tables(connection)
    }


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]


def _told(fact: dict[str, Any]) -> str:
    return str({**fact, "dialect_options": {name: str(one) for name, one in fact.get("dialect_options", {}).items()}})
