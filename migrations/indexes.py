"""Indexes on tables in use. PostgreSQL builds them outside a transaction, while other processes write."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

_VALID = sa.text(
    "SELECT i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE c.relname = :name AND pg_table_is_visible(c.oid)"
)


@contextmanager
def outside_transaction() -> Iterator[bool]:
    """Yields whether indexes are built concurrently. On PostgreSQL it first commits the earlier changes."""
    context = op.get_context()
    if context.dialect.name != "postgresql":
        yield False
        return
    with context.autocommit_block():
        connection = op.get_bind()
        # A longer lock timeout is harmless: the build blocks no writers and only waits for older transactions.
        seconds = connection.info.get("index_lock_seconds", 0.0)
        before = connection.execute(sa.text("SHOW lock_timeout")).scalar_one()
        connection.execute(sa.text(f"SET lock_timeout = {round(seconds * 1000)}"))
        try:
            yield True
        finally:
            connection.execute(sa.text("SELECT set_config('lock_timeout', :value, false)"), {"value": before})


def create_index(
    name: str,
    table: str,
    columns: Sequence[str],
    condition: str | None,
    *,
    concurrently: bool,
    collations: Mapping[str, str] | None = None,
) -> None:
    """Build an index. An invalid index, which an interrupted build has left, is dropped and built again.

    `collations`: of PostgreSQL, by column.
    """
    where = None if condition is None else sa.text(condition)
    keys: list[str | sa.TextClause] = list(columns)
    if collations and op.get_context().dialect.name == "postgresql":
        keys = [sa.text(f'{one} COLLATE "{collations[one]}"') if one in collations else one for one in columns]
    if not concurrently:
        op.create_index(name, table, keys, sqlite_where=where, postgresql_where=where)
        return
    valid = op.get_bind().execute(_VALID, {"name": name}).scalar()
    if valid is False:
        drop_index(name, table, concurrently=True)
    if not valid:
        op.create_index(name, table, keys, postgresql_where=where, postgresql_concurrently=True)


def drop_index(name: str, table: str, *, concurrently: bool) -> None:
    """Drop an index if it exists."""
    op.drop_index(name, table, if_exists=True, postgresql_concurrently=concurrently)
