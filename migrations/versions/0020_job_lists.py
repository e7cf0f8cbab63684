"""What lists of jobs need: indexes for filters and sorts, the metrics of jobs by name, and the numbers of the feed.

The previous release writes neither metrics nor numbers. The reconciler adds the metrics of its jobs, in bounded passes
(`jobs.metrics_listed`). The column `events.feed` has the default 0, which means "not numbered yet", so the reconciler
numbers the events of that release too. Events that exist now get -1: they are not part of the feed.
"""

import sqlalchemy as sa
from alembic import op

from migrations.indexes import create_index, drop_index, outside_transaction

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
ENDED, SHOWN = "finished_at IS NOT NULL", "deleted_at IS NULL"
UNLISTED = "metrics_listed IS NULL OR metrics_listed = 1 AND finished_at IS NOT NULL"
INDEXES = (
    ("ix_jobs_name_number", "jobs", ["name", "number"], SHOWN),
    ("ix_jobs_queue_number", "jobs", ["queue", "number"], SHOWN),
    ("ix_jobs_owner_number", "jobs", ["owner", "number"], SHOWN),
    ("ix_jobs_created", "jobs", ["created_at", "number"], SHOWN),
    ("ix_jobs_ended_number", "jobs", ["finished_at", "number"], ENDED),
    ("ix_jobs_unlisted", "jobs", ["number"], UNLISTED),
    ("ix_events_unfed", "events", ["at", "job_id", "sequence"], "feed = 0"),
    ("ix_events_feed", "events", ["feed"], "feed > 0"),
)


def upgrade() -> None:
    connection = op.get_bind()
    there = sa.inspect(connection)
    if "metrics_listed" not in {column["name"] for column in there.get_columns("jobs")}:
        _add()  # an interrupted migration has already committed this part
    with outside_transaction() as concurrently:
        for name, table, columns, condition in INDEXES:
            # Names are sorted by their bytes. On PostgreSQL the collation of the database may have another order.
            create_index(name, table, columns, condition, concurrently=concurrently, collations={"name": "C"})


def _add() -> None:
    op.create_table(
        "job_metrics",
        sa.Column("job_number", NUMBER, nullable=False),
        sa.Column("name", sa.String(110), nullable=False),
        sa.Column("value", sa.Float(53), nullable=False),
        sa.ForeignKeyConstraint(["job_number"], ["jobs.number"], name="fk_job_metrics_job_number", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_number", "name", name="pk_job_metrics"),
    )
    op.create_index("ix_job_metrics_value", "job_metrics", ["name", "value", "job_number"])
    feed = op.create_table(
        "event_feed",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_event_feed"),
    )
    op.bulk_insert(feed, [{"id": 1, "last": 0}])
    op.add_column("jobs", sa.Column("metrics_listed", sa.SmallInteger(), nullable=True))
    if op.get_context().dialect.name == "postgresql":
        # The first default is stored once for all existing rows, the second applies to new rows.
        op.add_column("events", sa.Column("feed", sa.BigInteger(), server_default=sa.text("-1"), nullable=False))
        op.alter_column("events", "feed", server_default=sa.text("0"))
    else:
        op.add_column("events", sa.Column("feed", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
        op.execute("UPDATE events SET feed = -1")


def downgrade() -> None:
    with outside_transaction() as concurrently:
        for name, table, _columns, _condition in reversed(INDEXES):
            drop_index(name, table, concurrently=concurrently)
    op.drop_column("events", "feed")
    op.drop_column("jobs", "metrics_listed")
    op.drop_table("event_feed")
    op.drop_table("job_metrics")
