"""Records in the schema which code can run on it. Older releases read this record,
because they do not have the newer migrations.

A migration that only adds (expand) changes nothing here. A migration that removes what older code needs (contract) sets
`oldest_code = "NNNN"` in its module: the oldest revision whose code can run on the schema from then on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

TABLE = sa.table("schema_compatibility", sa.column("id", sa.Integer), sa.column("oldest_revision", sa.String))


def oldest_code(scripts: ScriptDirectory, revision: str) -> str:
    """The oldest revision whose code can run on this revision's schema: the last `oldest_code`, else this revision."""
    for script in scripts.walk_revisions(head=revision):
        if said := getattr(script.module, "oldest_code", None):
            return str(said)
    return revision


def record(connection: sa.Connection, scripts: ScriptDirectory) -> None:
    """Store which code can run on the current schema, in the transaction that changed it."""
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None or not sa.inspect(connection).has_table(TABLE.name):
        return
    connection.execute(sa.delete(TABLE))
    connection.execute(sa.insert(TABLE).values(id=1, oldest_revision=oldest_code(scripts, revision)))
