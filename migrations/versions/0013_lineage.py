"""The job that a job was made from, and copies of checkpoints that are not complete. The previous release ignores both.

A job that starts from another job is queued with a `not_before` in the far future until its checkpoint is copied, so
the previous release does not start it.
"""

import sqlalchemy as sa
from alembic import op

from migrations.indexes import create_index, drop_index, outside_transaction

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
DERIVED = "source_job IS NOT NULL"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("source_job", sa.String(32), nullable=True))
    op.add_column("jobs", sa.Column("source", sa.JSON(), nullable=True))
    op.create_table(
        "checkpoint_copies",
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("source_job", sa.String(length=32), nullable=False),
        sa.Column("checkpoints", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("asked_at", MOMENT, nullable=False),
        sa.CheckConstraint("state IN ('failed', 'pending')", name=op.f("ck_checkpoint_copies_state")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_checkpoint_copies_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_checkpoint_copies")),
    )
    pending = sa.text("state = 'pending'")
    name = "ix_checkpoint_copies_pending"
    op.create_index(name, "checkpoint_copies", ["source_job"], sqlite_where=pending, postgresql_where=pending)
    with outside_transaction() as concurrently:
        create_index("ix_jobs_source", "jobs", ["source_job", "number"], DERIVED, concurrently=concurrently)


def downgrade() -> None:
    with outside_transaction() as concurrently:
        drop_index("ix_jobs_source", "jobs", concurrently=concurrently)
    op.drop_table("checkpoint_copies")
    for column in ("source", "source_job"):
        op.drop_column("jobs", column)
