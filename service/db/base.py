"""Shared by all tables: constraint names, types, and the conditions of partial indexes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Integer, MetaData, String, TextClause, text
from sqlalchemy.orm import DeclarativeBase

from baton.domain.reasons import Reason
from baton.domain.states import LIVE_ATTEMPTS
from service.db.types import UTCDateTime

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}
Id = String(32)
# A row number that the database generates. SQLite generates numbers only for the type INTEGER.
Number = BigInteger().with_variant(Integer, "sqlite")
NOTHING, NO_ITEMS, ZERO, ONE = text("'{}'"), text("'[]'"), text("0"), text("1")
"""Defaults of columns that a migration adds."""


def _quoted(values: Iterable[str]) -> str:
    return ", ".join(f"'{value}'" for value in sorted(values))


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """A check constraint: the column has one of these values."""
    return CheckConstraint(f"{column} IN ({_quoted(values)})", name=column)


def _pair(table: str, condition: str) -> tuple[TextClause, TextClause]:
    """The condition of a partial index, and the same condition for queries. `$` marks each column.

    The database uses a partial index only if the query contains the condition of the index, literally.
    """
    return text(condition.replace("$", "")), text(condition.replace("$", f"{table}."))


LIVE, IS_LIVE = _pair("attempts", f"$state IN ({_quoted(LIVE_ATTEMPTS)})")
WAITING, IS_WAITING = _pair("attempts", "$state = 'queued' AND $urgency IS NOT NULL")
UNPLACED, IS_UNPLACED = _pair("attempts", "$state = 'queued' AND $urgency IS NULL")
DISPATCHED, IS_DISPATCHED = _pair("attempts", "$state = 'queued' AND $dispatched_at IS NOT NULL")
SPENT, IS_SPENT = _pair("attempts", "$state <> 'queued' AND $dispatched_at IS NOT NULL")
TOO_OLD, IS_TOO_OLD = _pair("attempts", f"$reason = '{Reason.WORKER_TOO_OLD.value}'")
USELESS, IS_USELESS = _pair("checkpoints", "$collected_at IS NULL AND $state <> 'committed'")
DELETED, IS_DELETED = _pair("checkpoints", "$collected_at IS NULL AND $state = 'deleted'")
QUARANTINED, IS_QUARANTINED = _pair("checkpoints", "$collected_at IS NULL AND $state = 'quarantined'")
COMMITTED, IS_COMMITTED = _pair("checkpoints", "$state = 'committed'")
PAST, IS_PAST = _pair("checkpoints", "$state <> 'committed'")
WANTED, IS_WANTED = _pair("jobs", "$desired <> 'run' AND $finished_at IS NULL")
UNCOUNTED, IS_UNCOUNTED = _pair("jobs", "$spent IS NULL")
PINNING, IS_PINNING = _pair("jobs", "$data IS NOT NULL AND $finished_at IS NULL")
CODED, IS_CODED = _pair("jobs", "$code IS NOT NULL")
DOOMED, IS_DOOMED = _pair("jobs", "$deleted_at IS NOT NULL")
SHOWN, IS_SHOWN = _pair("jobs", "$deleted_at IS NULL")
ENDED, IS_ENDED = _pair("jobs", "$finished_at IS NOT NULL")
DERIVED, IS_DERIVED = _pair("jobs", "$source_job IS NOT NULL")
UNLISTED, _unlisted = _pair("jobs", "$metrics_listed IS NULL OR $metrics_listed = 1 AND $finished_at IS NOT NULL")
UNFED, IS_UNFED = _pair("events", "$feed = 0")
FED, IS_FED = _pair("events", "$feed > 0")
PENDING, IS_PENDING = _pair("checkpoint_copies", "$state = 'pending'")
UNHELD, IS_UNHELD = _pair("data_objects", "$holders = 0")
UNPUBLISHED, _unpublished = _pair("artifacts", "$published IS NULL OR $published <> $object")
# SQLAlchemy joins conditions with AND and puts no brackets around text.
IS_UNLISTED = text(f"({_unlisted.text})")
IS_UNPUBLISHED = text(f"({_unpublished.text})")


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UTCDateTime, dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012 - SQLAlchemy's own spelling
