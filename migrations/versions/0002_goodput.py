"""Columns for goodput (seconds by bucket), pauses, the checkpoint interval and failed restores."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NOTHING, ZERO = sa.text("'{}'"), sa.text("0")
# Add and drop columns one by one: SQLite does both in place, without a copy of the table.
COLUMNS = (
    ("jobs", "restore_failures", sa.Integer(), ZERO),
    ("jobs", "paused_seconds", sa.Float(53), ZERO),
    ("jobs", "paused_at", sa.DateTime(timezone=True), None),
    ("jobs", "overdue_since", sa.DateTime(timezone=True), None),
    ("attempts", "started_at", sa.DateTime(timezone=True), None),
    ("attempts", "seconds", sa.JSON(), NOTHING),
    ("attempts", "covered_seconds", sa.Float(53), ZERO),
    ("attempts", "interval_seconds", sa.Float(53), None),
    ("checkpoints", "stall_seconds", sa.Float(53), ZERO),
    ("checkpoints", "trained_seconds", sa.Float(53), ZERO),
)
# Pauses that ended before this migration were not recorded: their time counts as waiting.
PAUSED = """
UPDATE jobs SET paused_at = (SELECT max(at) FROM events WHERE events.job_id = jobs.id AND events.kind = 'paused')
WHERE state = 'paused'
"""
STARTED = """
UPDATE attempts SET started_at = claimed_at WHERE state = 'running'
"""


def upgrade() -> None:
    for table, name, kind, default in COLUMNS:
        op.add_column(table, sa.Column(name, kind, nullable=default is None, server_default=default))
    op.execute(PAUSED)
    op.execute(STARTED)


def downgrade() -> None:
    for table, name, _, _ in reversed(COLUMNS):
        op.drop_column(table, name)
