"""Projects: their quotas, and the project of jobs, attempts, tokens, workers, idempotency keys, pushed data and code.

All existing rows get the project `default`. The previous release ignores the new columns and writes its rows into
`default`, so during an upgrade it neither separates projects nor enforces quotas: create projects after the upgrade.

Primary keys and unique keys of three small tables get the project or the principal in front. The previous release
finds its rows by the rest of the key as before. `project_objects` says which project has sent an object. An object that
the previous release receives has no row there, so the next push sends it again.
"""

import sqlalchemy as sa
from alembic import op

from migrations.indexes import create_index, drop_index, outside_transaction

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
WAITING = "state = 'queued' AND urgency IS NOT NULL"
LIVE = "state IN ('queued', 'running', 'starting', 'stopping')"
DISPATCHED = "state = 'queued' AND dispatched_at IS NOT NULL"
LINE = ["queue", "project", "needs_key", "urgency"]
INDEXES = (
    ("ix_jobs_project_number", "jobs", ["project", "number"], None),
    ("ix_attempts_waiting_of_project", "attempts", [*LINE, "job_number", "not_before"], WAITING),
    ("ix_attempts_dispatched_of_project", "attempts", LINE, DISPATCHED),
    ("ix_attempts_project_live", "attempts", ["project", "state"], LIVE),
    ("ix_code_bundles_digest", "code_bundles", ["digest"], None),
    ("ix_data_versions_project_number", "data_versions", ["project", "number"], None),
)


def upgrade() -> None:
    _projects()
    for table in ("jobs", "attempts", "tokens"):
        op.add_column(table, _project())
    op.add_column("jobs", sa.Column("owner", sa.String(length=63), nullable=True))
    op.add_column("tokens", sa.Column("queues", sa.JSON(), nullable=True))
    op.add_column("workers", sa.Column("project", sa.String(length=63), nullable=True))
    _keys()
    _objects()
    with outside_transaction() as concurrently:
        for name, table, columns, condition in INDEXES:
            create_index(name, table, columns, condition, concurrently=concurrently)


def _project() -> sa.Column:
    return sa.Column("project", sa.String(length=63), nullable=False, server_default=sa.text("'default'"))


def _projects() -> None:
    projects = op.create_table(
        "projects",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.String(length=63), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=True),
        sa.Column("max_queued", sa.Integer(), nullable=True),
        sa.Column("max_data_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_code_bytes", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_projects")),
    )
    sqlite = op.get_bind().dialect.name == "sqlite"
    now = sa.text("strftime('%Y-%m-%d %H:%M:%f000', 'now')" if sqlite else "clock_timestamp()")
    op.execute(projects.insert().values(name="default", created_at=now, created_by="user"))


def _keys() -> None:
    principal = sa.Column("principal", sa.String(length=80), nullable=False, server_default=sa.text("''"))
    with op.batch_alter_table("idempotency_keys") as batch:
        batch.add_column(principal)
        batch.drop_constraint(op.f("pk_idempotency_keys"), type_="primary")
        batch.create_primary_key(op.f("pk_idempotency_keys"), ["principal", "key"])
    with op.batch_alter_table("code_bundles") as batch:
        batch.add_column(_project())
        batch.drop_constraint(op.f("pk_code_bundles"), type_="primary")
        batch.create_primary_key(op.f("pk_code_bundles"), ["project", "digest"])
    with op.batch_alter_table("data_versions", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.add_column(_project())
        batch.drop_constraint(op.f("uq_data_versions_name_digest"), type_="unique")
        batch.create_unique_constraint(op.f("uq_data_versions_project_name_digest"), ["project", "name", "digest"])


def _objects() -> None:
    op.create_table(
        "project_objects",
        sa.Column("project", sa.String(length=63), nullable=False),
        sa.Column("object", NUMBER, nullable=False),
        sa.Column("used_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["object"], ["data_objects.number"], name=op.f("fk_project_objects_object"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("project", "object", name=op.f("pk_project_objects")),
    )
    for column in ("object", "used_at"):
        op.create_index(op.f(f"ix_project_objects_{column}"), "project_objects", [column])
    data = "SELECT 'default', number, used_at FROM data_objects WHERE name LIKE 'data/%'"
    op.execute(sa.text(f"INSERT INTO project_objects (project, object, used_at) {data}"))


def downgrade() -> None:
    with outside_transaction() as concurrently:
        for name, table, _columns, _condition in reversed(INDEXES):
            drop_index(name, table, concurrently=concurrently)
    op.drop_table("project_objects")
    _keys_as_before()
    op.drop_column("workers", "project")
    op.drop_column("tokens", "queues")
    op.drop_column("jobs", "owner")
    for table in ("tokens", "attempts", "jobs"):
        op.drop_column(table, "project")
    op.drop_table("projects")


def _keys_as_before() -> None:
    """Keep one row of those that differ only in project or principal, because the old keys allow no more."""
    _keep_first("data_versions", "project", "name", "digest")
    _keep_first("code_bundles", "project", "digest")
    _keep_first("idempotency_keys", "principal", "key")
    for table, column in (("data_versions", "manifest"), ("code_bundles", "object")):
        rows, objects = (
            sa.table(table, sa.column(column)),
            sa.table("data_objects", *map(sa.column, ("number", "holders"))),
        )
        mine = rows.c[column] == objects.c.number
        number = sa.select(sa.func.count()).select_from(rows).where(mine).scalar_subquery()
        op.execute(sa.update(objects).where(sa.exists().where(mine), objects.c.holders > number).values(holders=number))
    with op.batch_alter_table("data_versions", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint(op.f("uq_data_versions_project_name_digest"), type_="unique")
        batch.drop_column("project")
        batch.create_unique_constraint(op.f("uq_data_versions_name_digest"), ["name", "digest"])
    with op.batch_alter_table("code_bundles") as batch:
        batch.drop_constraint(op.f("pk_code_bundles"), type_="primary")
        batch.drop_column("project")
        batch.create_primary_key(op.f("pk_code_bundles"), ["digest"])
    with op.batch_alter_table("idempotency_keys") as batch:
        batch.drop_constraint(op.f("pk_idempotency_keys"), type_="primary")
        batch.drop_column("principal")
        batch.create_primary_key(op.f("pk_idempotency_keys"), ["key"])


def _keep_first(table: str, column: str, *key: str) -> None:
    rows = sa.table(table, *map(sa.column, (column, *key)))
    first = rows.alias("first")
    same = [first.c[name] == rows.c[name] for name in key]
    op.execute(sa.delete(rows).where(sa.exists().where(*same, first.c[column] < rows.c[column])))
