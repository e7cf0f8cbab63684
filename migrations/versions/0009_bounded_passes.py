"""Indexes with which no pass and no list costs more where there is a backlog, or a job is old.

The service before this one runs without them: they may be built while it writes.
"""

from migrations.indexes import create_index, drop_index, outside_transaction

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
    ("ix_workers_last_seen_at", "workers", ["last_seen_at"], None),
)


def upgrade() -> None:
    with outside_transaction() as concurrently:
        for name, table, columns, condition in INDEXES:
            create_index(name, table, columns, condition, concurrently=concurrently)


def downgrade() -> None:
    with outside_transaction() as concurrently:
        for name, table, _columns, _condition in reversed(INDEXES):
            drop_index(name, table, concurrently=concurrently)
