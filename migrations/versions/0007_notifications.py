"""The table of notifications and their delivery state."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
UNIQUE = "uq_notifications_job_id_kind_count_target"
WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    op.create_table(
        "notifications",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("target", sa.String(length=63), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("next_at", MOMENT, nullable=False),
        sa.Column("ended_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "kind IN ('cancelled', 'failed', 'recovering', 'succeeded')", name=op.f("ck_notifications_kind")
        ),
        sa.CheckConstraint("state IN ('failed', 'sent', 'waiting')", name=op.f("ck_notifications_state")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_notifications_job_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_notifications")),
        sa.UniqueConstraint("job_id", "kind", "count", "target", name=op.f(UNIQUE)),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "ix_notifications_waiting",
        "notifications",
        ["target", "next_at"],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )


def downgrade() -> None:
    # Pending messages are lost: an older service does not send notifications.
    op.drop_table("notifications")
