"""Finds statements that read every row of a table that grows, by their query plans.

On SQLite the query plan is used unchanged: without ANALYZE it depends on the schema alone. On PostgreSQL, sequential
scans, hash joins and merge joins are disabled: a statement that still scans a table has no index to use.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection

from service.db.tables import Base
from tests.service.helpers import Api

FEW = {"leaders", "probes", "projects", "replicas", "signing_keys", "stores"}
"""Tables with one row for each replica, project, key or store.

The row of a replica is deleted within a day after its end."""

COUNTED = "SELECT pass_failures.step, count(*)"
"""The query for the metrics counts the current failures, and the table holds only those."""

GROWING = {table.name for table in Base.metadata.sorted_tables} - FEW
SCAN = re.compile(r"SCAN (\w+)(?: AS \w+)?(?: USING (?:COVERING )?INDEX (\w+))?")
# The newest rows of a table are the last ones by primary key: the scan ends when the page is full.
NEWEST = re.compile(
    r"FROM (\w+) WHERE \1\.number < \S+ ORDER BY \1\.number DESC\s+LIMIT|FROM (\w+) ORDER BY \2\.number DESC\s+LIMIT"
)


def whole_tables(api: Api, statements: dict[str, Any]) -> dict[str, list[str]]:
    """The statements that read every row of a table that grows, with their plans."""
    engine, found = api.services.database.engine, {}
    with engine.connect() as connection:
        look = _of_postgresql if engine.dialect.name == "postgresql" else _of_sqlite
        partial = _partial_indexes(connection)
        for statement, parameters in statements.items():
            fine = NEWEST.search(statement) or statement.startswith(COUNTED)
            scans = [] if fine else list(look(connection, statement, parameters, partial))
            if scans:
                found[" ".join(statement.split())] = scans
    return found


def _partial_indexes(connection: Connection) -> set[str]:
    """The names of partial indexes. Such an index holds few rows and is made to be read whole."""
    indexes = [index for table in Base.metadata.sorted_tables for index in table.indexes]
    return {str(one.name) for one in indexes if one.dialect_options[connection.dialect.name]["where"] is not None}


def _of_sqlite(connection: Connection, statement: str, parameters: Any, partial: set[str]) -> Iterator[str]:
    for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters):
        match = SCAN.match(row.detail)
        if match and match[1] in GROWING and match[2] not in partial:
            yield row.detail


def _of_postgresql(connection: Connection, statement: str, parameters: Any, partial: set[str]) -> Iterator[str]:
    # In a small table PostgreSQL joins by reading all rows. Disable this to get the plan for a large table.
    for way in ("seqscan", "hashjoin", "mergejoin"):
        connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
    growing = {name for name, table in _indexes(connection) if table in GROWING}
    plan = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()[0]["Plan"]
    for node in _nodes(plan):
        table, index = node.get("Relation Name"), node.get("Index Name")
        if node["Node Type"] == "Seq Scan" and table in GROWING:
            yield f"Seq Scan {table}"
        elif index in growing - partial and "Index Cond" not in node:
            yield f"{node['Node Type']} {index}"


def _indexes(connection: Connection) -> list[tuple[str, str]]:
    rows = connection.exec_driver_sql("SELECT indexname, tablename FROM pg_indexes WHERE schemaname = 'public'")
    return [(row.indexname, row.tablename) for row in rows]


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
