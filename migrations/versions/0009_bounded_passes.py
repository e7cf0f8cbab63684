"""Indexes that limit the cost of reconciler passes and lists with a large backlog or an old job.

The previous release runs without these indexes, so they may be built while it writes.
"""

from migrations.indexes import create_index, drop_index, outside_transaction

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

QUEUED = "state = 'queued'"
SENT = " AND dispatched_at IS NOT NULL"
WAITING = ["queue", "needs_key", "urgency", "job_number", "not_before"]
INDEXES = (
    ("ix_attempts_waiting", "attempts", WAITING, QUEUED + " AND urgency IS NOT NULL"),
    ("ix_attempts_unplaced", "attempts", ["not_before", "queue"], QUEUED + " AND urgency IS NULL"),
    ("ix_attempts_dispatched", "attempts", ["queue", "urgency", "needs_key"], QUEUED + SENT),
    ("ix_attempts_spent", "attempts", ["dispatched_at"], "state <> 'queued'" + SENT),
    ("ix_attempts_too_old", "attempts", ["job_id"], "reason = 'worker_too_old'"),
    ("ix_checkpoints_committed", "checkpoints", ["job_id", "number"], "state = 'committed'"),
    ("ix_checkpoints_deleted", "checkpoints", ["number"], "collected_at IS NULL AND state = 'deleted'"),
    ("ix_checkpoints_quarantined", "checkpoints", ["job_id"], "collected_at IS NULL AND state = 'quarantined'"),
    ("ix_checkpoints_past", "checkpoints", ["job_id", "number"], "state <> 'committed'"),
    ("ix_jobs_wanted", "jobs", ["desired", "state"], "desired <> 'run' AND finished_at IS NULL"),
    ("ix_jobs_uncounted", "jobs", ["number"], "spent IS NULL"),
    ("ix_pass_failures_retry_at", "pass_failures", ["retry_at"], None),
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
