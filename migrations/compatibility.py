"""Which older versions of the service run on a schema. The schema says so itself, for versions that do not know it.

A migration that only adds (expand) changes nothing here. One that takes away what older code needs (contract) says with
`oldest_code = "NNNN"` in its module which is the oldest revision whose code runs on the schema from then on.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

TABLE = sa.table("schema_compatibility", sa.column("id", sa.Integer), sa.column("oldest_revision", sa.String))


def oldest_code(scripts: ScriptDirectory, revision: str) -> str:
    """The oldest revision whose code runs on the schema of this one; where no migration says, its own."""
    for script in scripts.walk_revisions(head=revision):
        if said := getattr(script.module, "oldest_code", None):
            return str(said)
    return revision


def record(connection: sa.Connection, scripts: ScriptDirectory) -> None:
    """Write down which code runs on the schema as it is now, in the transaction that changed it."""
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision is None or not sa.inspect(connection).has_table(TABLE.name):
        return
    connection.execute(sa.delete(TABLE))
    connection.execute(sa.insert(TABLE).values(id=1, oldest_revision=oldest_code(scripts, revision)))
