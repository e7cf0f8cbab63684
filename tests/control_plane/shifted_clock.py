"""Sets the clock of a PostgreSQL database for all processes that use it."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from tests.support.moved_clock import MAKE, SCHEMA
from tests.support.postgres import OWNER

# The tables are created in this schema too, because it is the first in the search path.
INSTALL = """
ALTER SCHEMA {schema} OWNER TO {owner};
GRANT SELECT ON {schema}.moved TO {owner};
ALTER DATABASE {database} SET search_path = {schema}, pg_catalog, public;
"""


def install_clock(connection: psycopg.Connection[Any], database: str) -> None:
    """Install a clock that can be set. The connection is the administrator's, to this database."""
    connection.execute(sql.SQL(MAKE))
    names = {"schema": SCHEMA, "owner": OWNER, "database": database}
    connection.execute(sql.SQL(INSTALL).format(**{key: sql.Identifier(name) for key, name in names.items()}))


def shift_clock(connection: psycopg.Connection[Any], seconds: float) -> None:
    """Set the clock this many seconds ahead of the real one. A negative number sets it behind."""
    connection.execute(f"UPDATE {SCHEMA}.moved SET seconds = %s", [seconds])
