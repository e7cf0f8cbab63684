"""The clock of a PostgreSQL database, set for every process that asks it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from tests.support.moved_clock import MAKE, SCHEMA
from tests.support.postgres import OWNER

# The product's tables are made in this schema as well: it is the first one of the path.
INSTALL = """
ALTER SCHEMA {schema} OWNER TO {owner};
GRANT SELECT ON {schema}.moved TO {owner};
ALTER DATABASE {database} SET search_path = {schema}, pg_catalog, public;
"""


def install_clock(connection: psycopg.Connection[Any], database: str) -> None:
    """Give the database a clock that can be set. The connection is the administrator's, to this database."""
    connection.execute(sql.SQL(MAKE))
    names = {"schema": SCHEMA, "owner": OWNER, "database": database}
    connection.execute(sql.SQL(INSTALL).format(**{key: sql.Identifier(name) for key, name in names.items()}))


def shift_clock(connection: psycopg.Connection[Any], seconds: float) -> None:
    """Let the clock be so many seconds ahead of the real one; below zero: behind it."""
    connection.execute(f"UPDATE {SCHEMA}.moved SET seconds = %s", [seconds])
