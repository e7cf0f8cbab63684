"""Indexes with which no pass and no list costs more where there is a backlog, or a job is old."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

QUEUED = "state = 'queued'"
INDEXES = (
    ("ix_attempts_waiting", "attempts", ["queue", "needs_key", "urgency", "job_number"], QUEUED),
    ("ix_attempts_unplaced", "attempts", ["job_id"], QUEUED + " AND queue IS NULL"),
    ("ix_attempts_dispatched", "attempts", ["dispatched_at"], "dispatched_at IS NOT NULL"),
    ("ix_jobs_desired_at", "jobs", ["desired_at"], "desired <> 'run'"),
    ("ix_checkpoints_committed", "checkpoints", ["job_id", "number"], "state = 'committed'"),
    ("ix_checkpoints_deleted", "checkpoints", ["number"], "collected_at IS NULL AND state = 'deleted'"),
    ("ix_checkpoints_quarantined", "checkpoints", ["job_id"], "collected_at IS NULL AND state = 'quarantined'"),
    ("ix_workers_last_seen_at", "workers", ["last_seen_at"], None),
)


def upgrade() -> None:
    for name, table, columns, condition in INDEXES:
        where = None if condition is None else sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name, table, _columns, _condition in reversed(INDEXES):
        op.drop_index(name, table)
