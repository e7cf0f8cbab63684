"""Columns and indexes for retries, notes, protection and deletion of jobs. The previous release ignores them."""

import sqlalchemy as sa
from alembic import op

from migrations.indexes import create_index, drop_index, outside_transaction

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
DOOMED, ENDED = "deleted_at IS NOT NULL", "finished_at IS NOT NULL"
# For each row that is deleted, the database looks for rows that refer to it.
REFERENCES = (
    ("ix_idempotency_keys_job_id", "idempotency_keys", "job_id"),
    ("ix_idempotency_keys_created_at", "idempotency_keys", "created_at"),
    ("ix_checkpoints_attempt_id", "checkpoints", "attempt_id"),
    ("ix_pointers_checkpoint_id", "pointers", "checkpoint_id"),
)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("retries", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.add_column("jobs", sa.Column("notes", sa.Text(), nullable=True))
    op.add_column("jobs", sa.Column("protected", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("jobs", sa.Column("deleted_at", MOMENT, nullable=True))
    op.add_column("jobs", sa.Column("logs_deleted_at", MOMENT, nullable=True))
    with outside_transaction() as concurrently:
        create_index("ix_jobs_doomed", "jobs", ["deleted_at"], DOOMED, concurrently=concurrently)
        create_index("ix_jobs_ended", "jobs", ["finished_at"], ENDED, concurrently=concurrently)
        for name, table, column in REFERENCES:
            create_index(name, table, [column], None, concurrently=concurrently)


def downgrade() -> None:
    with outside_transaction() as concurrently:
        for name, table, _column in REFERENCES:
            drop_index(name, table, concurrently=concurrently)
        drop_index("ix_jobs_ended", "jobs", concurrently=concurrently)
        drop_index("ix_jobs_doomed", "jobs", concurrently=concurrently)
    for column in ("logs_deleted_at", "deleted_at", "protected", "notes", "retries"):
        op.drop_column("jobs", column)
