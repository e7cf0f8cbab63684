"""Alembic's entry: runs on the connection that `service.db.migrate` opened, inside its transaction."""

from alembic import context

from service.db.tables import Base


def run() -> None:
    connection = context.config.attributes["connection"]
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        transaction_per_migration=False,
    )
    context.run_migrations()


run()
