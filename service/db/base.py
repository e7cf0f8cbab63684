"""What all tables share: names of constraints, types, and the conditions that several of them repeat."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Integer, MetaData, String, text
from sqlalchemy.orm import DeclarativeBase

from core.domain.policies import Reason
from core.domain.states import LIVE_ATTEMPTS
from service.db.types import UTCDateTime

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
Id = String(32)
# A row number that the database draws; SQLite draws only for INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")


class CheckpointState(StrEnum):
    """What became of a checkpoint after its commit."""

    COMMITTED = "committed"
    QUARANTINED = "quarantined"
    DELETED = "deleted"


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """A condition that the database holds: the column has one of these values."""
    return CheckConstraint(f"{column} IN ({_quoted(values)})", name=column)


LIVE = text(f"state IN ({_quoted(LIVE_ATTEMPTS)})")
USELESS = text("collected_at IS NULL AND state <> 'committed'")
DELETED = text("collected_at IS NULL AND state = 'deleted'")
QUARANTINED = text("collected_at IS NULL AND state = 'quarantined'")
WAITING = text("state = 'queued' AND urgency IS NOT NULL")
UNPLACED = text("state = 'queued' AND urgency IS NULL")
DISPATCHED = text("state = 'queued' AND dispatched_at IS NOT NULL")
SPENT = text("state <> 'queued' AND dispatched_at IS NOT NULL")
TOO_OLD = text(f"reason = '{Reason.WORKER_TOO_OLD.value}'")
COMMITTED = text("state = 'committed'")
PAST = text("state <> 'committed'")
WANTED = text("desired <> 'run' AND finished_at IS NULL")
UNCOUNTED = text("spent IS NULL")
UNPUBLISHED = text("published IS NULL OR published <> object")
# A partial index serves only where a query repeats its condition, to the letter.
IS_LIVE = text(f"attempts.{LIVE.text}")
IS_WAITING = text("attempts.state = 'queued' AND attempts.urgency IS NOT NULL")
IS_UNPLACED = text("attempts.state = 'queued' AND attempts.urgency IS NULL")
IS_DISPATCHED = text("attempts.state = 'queued' AND attempts.dispatched_at IS NOT NULL")
IS_SPENT = text("attempts.state <> 'queued' AND attempts.dispatched_at IS NOT NULL")
IS_TOO_OLD = text(f"attempts.{TOO_OLD.text}")
IS_COMMITTED = text("checkpoints.state = 'committed'")
IS_UNPUBLISHED = text("(artifacts.published IS NULL OR artifacts.published <> artifacts.object)")
IS_DELETED = text("checkpoints.collected_at IS NULL AND checkpoints.state = 'deleted'")
IS_QUARANTINED = text("checkpoints.collected_at IS NULL AND checkpoints.state = 'quarantined'")
IS_PAST = text("checkpoints.state <> 'committed'")
IS_WANTED = text("jobs.desired <> 'run' AND jobs.finished_at IS NULL")
IS_UNCOUNTED = text("jobs.spent IS NULL")
IS_USELESS = text("checkpoints.collected_at IS NULL AND checkpoints.state <> 'committed'")


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UTCDateTime, dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012 - SQLAlchemy's own spelling
