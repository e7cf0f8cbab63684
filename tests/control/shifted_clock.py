"""A clock of PostgreSQL that tests can step: a function of the database that hides the server's own.

`clock_timestamp()` is looked up along the search path, and the schema of this function comes before `pg_catalog`.
The product's tables are made in the same schema, as it is the first one of the path.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from tests.support.postgres import OWNER

SCHEMA = "shifted"
INSTALL = """
CREATE SCHEMA {schema} AUTHORIZATION {owner};
CREATE TABLE {schema}.shift (seconds double precision NOT NULL);
INSERT INTO {schema}.shift VALUES (0);
GRANT SELECT ON {schema}.shift TO {owner};
CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
  $$ SELECT pg_catalog.clock_timestamp() + make_interval(secs => seconds) FROM {schema}.shift $$;
ALTER DATABASE {database} SET search_path = {schema}, pg_catalog, public;
"""


def install_clock(connection: psycopg.Connection[Any], database: str) -> None:
    """Give the database the function. The connection is the administrator's, to this database."""
    names = {"schema": SCHEMA, "owner": OWNER, "database": database}
    connection.execute(sql.SQL(INSTALL).format(**{key: sql.Identifier(name) for key, name in names.items()}))


def shift_clock(connection: psycopg.Connection[Any], seconds: float) -> None:
    """Let the clock be so many seconds ahead of the real one; below zero: behind it."""
    connection.execute(f"UPDATE {SCHEMA}.shift SET seconds = %s", [seconds])
