"""Alembic's entry point: runs on the connection that `service.db.migrate` opened.

On SQLite it runs inside that connection's transaction. On PostgreSQL Alembic opens a transaction, and a migration that
builds indexes commits it before the build.
"""

from alembic import context

from migrations.compatibility import record
from service.db.tables import Base


def run() -> None:
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        context.run_migrations()
        record(connection, context.script)


run()
