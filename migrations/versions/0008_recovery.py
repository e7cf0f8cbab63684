"""Columns and tables for recovery from faults: failures of single items, orders with a deadline, stores, replicas.

Expand only: the previous release keeps working on this schema, because each new column is nullable or has a default.
Revision 0009 creates the indexes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None
# Expand only: code of revision 0007 can run on this schema.
oldest_code = "0007"

MOMENT = sa.DateTime(timezone=True)
JSON = sa.JSON(none_as_null=True)
KINDS = ("cancelled", "failed", "recovering", "succeeded")
KNOWN = "kind IN ('cancelled', 'failed', 'recovering', 'succeeded')"


def upgrade() -> None:
    _expand("jobs", _jobs())
    _expand("attempts", _attempts())
    _expand("workers", _workers())
    op.create_table(
        "pass_failures",
        sa.Column("step", sa.String(length=32), nullable=False),
        sa.Column("item", sa.String(length=900), nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("first_at", MOMENT, nullable=False),
        sa.Column("retry_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("step", "item", name=op.f("pk_pass_failures")),
    )
    op.create_table(
        "replicas",
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("started_at", MOMENT, nullable=False),
        sa.Column("last_write_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_replicas")),
    )
    op.create_table(
        "stores",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("url", sa.String(length=1000), nullable=False),
        sa.Column("first_used_at", MOMENT, nullable=False),
        sa.Column("last_used_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_stores")),
    )
    op.create_table(
        "probes",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_probes")),
    )
    op.create_table(
        "schema_compatibility",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("oldest_revision", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schema_compatibility")),
    )
    _check_kinds(None)


def downgrade() -> None:
    # An older service would never send these kinds.
    notifications = sa.table("notifications", sa.column("kind", sa.String))
    op.execute(sa.delete(notifications).where(notifications.c.kind.not_in(KINDS)))
    _check_kinds(KNOWN)
    for table in ("schema_compatibility", "probes", "stores", "replicas", "pass_failures"):
        op.drop_table(table)
    for table, columns in (("workers", _workers()), ("attempts", _attempts()), ("jobs", _jobs())):
        for column in columns:
            op.drop_column(table, column.name)


def _jobs() -> list[sa.Column]:
    return [
        sa.Column("desired_at", MOMENT, nullable=True),
        sa.Column("spec_version", sa.Integer(), nullable=False, server_default=sa.text("1")),
        sa.Column("held_seconds", sa.Float(precision=53), nullable=True),
        sa.Column("spent", JSON, nullable=True),
    ]


def _attempts() -> list[sa.Column]:
    return [
        sa.Column("queue", sa.String(length=63), nullable=True),
        sa.Column("needs_key", sa.String(length=32), nullable=True),
        sa.Column("urgency", sa.Integer(), nullable=True),
        sa.Column("job_number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("beat_at", MOMENT, nullable=True),
        sa.Column("silent_since", MOMENT, nullable=True),
        sa.Column("protocol", sa.Integer(), nullable=True),
        sa.Column("trouble", JSON, nullable=True),
        sa.Column("recovers", sa.Boolean(), nullable=True),
        sa.Column("spec_version", sa.Integer(), nullable=True),
    ]


def _workers() -> list[sa.Column]:
    return [
        sa.Column("protocol", sa.Integer(), nullable=False, server_default=sa.text("1")),
        sa.Column("spec_version", sa.Integer(), nullable=False, server_default=sa.text("1")),
        sa.Column("store_id", sa.String(length=32), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.Column("since", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, nullable=True),
    ]


def _expand(table: str, columns: list[sa.Column]) -> None:
    for column in columns:
        op.add_column(table, column)


def _check_kinds(condition: str | None) -> None:
    """Drop or create the check of notification kinds. Specs are validated on arrival, so new kinds need no schema."""
    with op.batch_alter_table("notifications", table_kwargs={"sqlite_autoincrement": True}) as batch:
        if condition is None:
            batch.drop_constraint(op.f("ck_notifications_kind"), type_="check")
        else:
            batch.create_check_constraint(op.f("ck_notifications_kind"), condition)
