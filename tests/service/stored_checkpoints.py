"""Checkpoints with objects in the store, and a garbage collection of them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import update

from service.db.tables import Job
from service.db.types import db_now
from tests.service.helpers import Api, WorkerHand


def save(api: Api, hand: WorkerHand, step: int, *roles: str, **more: Any) -> str:
    """Commit a checkpoint whose manifest is in the store, and return its prefix."""
    prefix = hand.prefix(step)
    api.services.store.put(f"{prefix}/manifest.json", b"{}")
    assert hand.checkpoint(step, *roles, prefix=prefix, **more).status_code == 201
    return prefix


def stored(api: Api, hand: WorkerHand) -> set[str]:
    return {blob.name.rpartition("/")[0] for blob in api.services.store.list(f"jobs/{hand.job_id}/checkpoints/")}


def sweep(api: Api, **changes: Any) -> None:
    with api.services.database.write() as session:
        session.execute(update(Job).values(sweep_at=db_now(), **changes))
    api.conduct()
