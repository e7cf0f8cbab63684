"""What attempts use and cost. The previous release ignores the tables and columns: what it ends is not counted."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

ID = sa.String(length=32)
NAME = sa.String(length=63)
ZERO = sa.text("0")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("gpu_us", sa.BigInteger(), nullable=False, server_default=ZERO))
    op.add_column("jobs", sa.Column("cost", sa.BigInteger(), nullable=False, server_default=ZERO))
    op.add_column("attempts", sa.Column("gpus", sa.Integer(), nullable=True))
    op.add_column("attempts", sa.Column("hourly_price", sa.BigInteger(), nullable=True))
    op.create_table(
        "usage",
        sa.Column("attempt_id", ID, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("job_name", sa.String(length=100), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("project", NAME, nullable=False),
        sa.Column("owner", NAME, nullable=True),
        sa.Column("device", sa.String(length=200), nullable=False),
        sa.Column("gpus", sa.Integer(), nullable=False),
        sa.Column("hourly_price", sa.BigInteger(), nullable=True),
        sa.Column("us", sa.BigInteger(), nullable=False),
        sa.Column("trained_us", sa.BigInteger(), nullable=False),
        sa.Column("redone_us", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=True),
        sa.Column("trained_cost", sa.BigInteger(), nullable=True),
        sa.Column("redone_cost", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("attempt_id", "day", name=op.f("pk_usage")),
    )
    op.create_index("ix_usage_day", "usage", ["day"])
    op.create_index("ix_usage_project_day", "usage", ["project", "day"])
    op.create_table(
        "recent_use",
        sa.Column("project", NAME, nullable=False),
        sa.Column("seconds", sa.Float(53), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_recent_use")),
    )


def downgrade() -> None:
    op.drop_table("recent_use")
    op.drop_table("usage")
    for column in ("hourly_price", "gpus"):
        op.drop_column("attempts", column)
    for column in ("cost", "gpu_us"):
        op.drop_column("jobs", column)
