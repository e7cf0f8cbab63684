"""Rows of a service that has been used for long: many ended jobs, each with its attempt, checkpoint and epochs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Table, func, insert, select

from core.domain.spec import dump_spec, parse_spec
from service.db.tables import Attempt, Checkpoint, Epoch, Job, JobLabel, Pointer
from tests.support.jobs import tiny

EPOCHS, CHUNK = 10, 2000
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
TEAMS = 20


def grow(engine: Engine, jobs: int) -> None:
    """Adds ended jobs until there are so many, with ten epochs each."""
    with engine.connect() as connection:
        there = connection.execute(select(func.count()).select_from(Job)).scalar_one()
        last = connection.execute(select(func.max(Job.number))).scalar_one() or 0
    spec = dump_spec(parse_spec(tiny()))
    for start in range(0, jobs - there, CHUNK):
        numbers = range(last + 1 + start, last + 1 + min(start + CHUNK, jobs - there))
        _insert(engine, [Ended(number, spec) for number in numbers])


class Ended:
    """All rows of one job that succeeded."""

    def __init__(self, number: int, spec: dict[str, Any]) -> None:
        self._number, self._spec = number, spec
        self._at = BEGIN + timedelta(seconds=number)
        self._job, self._attempt, self._checkpoint = (f"{prefix}{number:031x}" for prefix in "abc")

    def job(self) -> dict[str, Any]:
        """The row in jobs."""
        steps = {"global_step": 260, "total_steps": 260, "stage": 2, "stages": 2, "epoch": 5, "epochs": 5}
        return {
            "number": self._number,
            "id": self._job,
            "name": f"job-{self._number}",
            "spec": self._spec,
            "labels": {"team": self._team},
            "queue": "default",
            "priority": "normal",
            "state": "succeeded",
            "desired": "run",
            "fence": 1,
            "events": 0,
            "attempts": 1,
            "progress": {**steps, "step": 40, "steps": 40},
            "metrics": {"loss": 0.5, "accuracy": 0.9, "val_loss": 0.6, "val_accuracy": 0.88},
            "results": {"test_accuracy": 0.87},
            "best": {"metric": "val_accuracy", "value": 0.88, "stage": 2, "epoch": 4},
            "created_at": self._at,
            "started_at": self._at,
            "finished_at": self._at + timedelta(seconds=90),
        }

    @property
    def _team(self) -> str:
        return f"team-{self._number % TEAMS}"

    def label(self) -> dict[str, Any]:
        """The row in job_labels."""
        return {"job_number": self._number, "key": "team", "value": self._team}

    def attempt(self) -> dict[str, Any]:
        """The row in attempts."""
        return {
            "id": self._attempt,
            "job_id": self._job,
            "number": 1,
            "state": "succeeded",
            "fence": 1,
            "claim_id": self._attempt,
            "worker": "bench",
            "not_before": self._at,
            "created_at": self._at,
            "claimed_at": self._at,
            "finished_at": self._at + timedelta(seconds=90),
            "seconds": {"training": 80.0, "startup": 5.0},
        }

    def checkpoint(self) -> dict[str, Any]:
        """The row in checkpoints."""
        return {
            "number": self._number,
            "id": self._checkpoint,
            "job_id": self._job,
            "attempt_id": self._attempt,
            "fence": 1,
            "prefix": f"jobs/{self._job}/checkpoints/0000000260-1-0",
            "manifest_crc32c": "00000000",
            "stage": 2,
            "epoch": 0,
            "step": 0,
            "global_step": 260,
            "bytes": 1_000_000,
            "seconds": 0.1,
            "roles": ["latest"],
            "needs": [],
            "committed_at": self._at + timedelta(seconds=85),
        }

    def pointer(self) -> dict[str, Any]:
        """The row in pointers."""
        return {"job_id": self._job, "role": "latest", "checkpoint_id": self._checkpoint}

    def epochs(self) -> Iterator[dict[str, Any]]:
        """The rows in epochs."""
        for epoch in range(1, EPOCHS + 1):
            score = {"loss": 1.0 / epoch, "accuracy": 0.5, "val_loss": 1.1 / epoch, "val_accuracy": 0.5}
            clock = {"seconds": 9.0, "images_per_second": 100.0, "finished_at": self._at + timedelta(seconds=9 * epoch)}
            where = {"stage": 1, "stage_epoch": epoch, "global_step": 26 * epoch, "image_size": 8, "batch_size": 16}
            yield {
                "job_id": self._job,
                "epoch": epoch,
                "fence": 1,
                "learning_rate": 1e-3,
                "attempt": 1,
                **where,
                **score,
                **clock,
            }


def _insert(engine: Engine, ended: list[Ended]) -> None:
    rows: dict[Any, list[dict[str, Any]]] = {
        Job: [one.job() for one in ended],
        JobLabel: [one.label() for one in ended],
        Attempt: [one.attempt() for one in ended],
        Checkpoint: [one.checkpoint() for one in ended],
        Pointer: [one.pointer() for one in ended],
        Epoch: [row for one in ended for row in one.epochs()],
    }
    with engine.begin() as connection:
        for kind, values in rows.items():
            table: Table = kind.__table__
            connection.execute(insert(table), values)
