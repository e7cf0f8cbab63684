"""Indexes for the reconciler's queries, so that their cost does not grow with the number of ended jobs."""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

USELESS = sa.text("collected_at IS NULL AND state <> 'committed'")
UNCOLLECTED = sa.text("collected_at IS NULL")
UNPUBLISHED = sa.text("published IS NULL OR published <> object")
SWEPT_AFTER_END = timedelta(hours=2)
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("jobs", sa.Column("sweep_at", MOMENT, nullable=True))
    _plan_sweeps()
    op.drop_column("jobs", "swept_at")
    op.create_index("ix_jobs_sweep_at", "jobs", ["sweep_at"])
    op.drop_index("ix_checkpoints_uncollected", "checkpoints")
    _partial("ix_checkpoints_useless", "checkpoints", "job_id", USELESS)
    _partial("ix_artifacts_unpublished", "artifacts", "committed_at", UNPUBLISHED)


def downgrade() -> None:
    op.drop_index("ix_artifacts_unpublished", "artifacts")
    op.drop_index("ix_checkpoints_useless", "checkpoints")
    _partial("ix_checkpoints_uncollected", "checkpoints", "job_id", UNCOLLECTED)
    op.drop_index("ix_jobs_sweep_at", "jobs")
    op.drop_column("jobs", "sweep_at")
    # The column is empty after the next upgrade, so each job is swept once more.
    op.add_column("jobs", sa.Column("swept_at", MOMENT, nullable=True))


def _partial(name: str, table: str, column: str, condition: sa.TextClause) -> None:
    op.create_index(name, table, [column], sqlite_where=condition, postgresql_where=condition)


def _plan_sweeps() -> None:
    # A job that was swept long after its end needs no further sweep.
    names = ("fence", "created_at", "finished_at", "swept_at", "sweep_at")
    jobs = sa.table("jobs", *(sa.column(name, sa.BigInteger() if name == "fence" else MOMENT) for name in names))
    ended_lately = jobs.c.finished_at > datetime.now(UTC) - SWEPT_AFTER_END
    wanted = sa.or_(jobs.c.finished_at.is_(None), jobs.c.swept_at.is_(None), ended_lately)
    op.execute(sa.update(jobs).where(jobs.c.fence > 0, wanted).values(sweep_at=jobs.c.created_at))
