"""Tables for series, the metrics of steps. The previous release ignores them, and deletes them with their job."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "series",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("job_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("width", sa.BigInteger(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_step", sa.BigInteger(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.Float(53), nullable=True),
        sa.Column("last_at", sa.Float(53), nullable=False),
        sa.Column("minimum", sa.Float(53), nullable=True),
        sa.Column("maximum", sa.Float(53), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_series_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_series")),
        sa.UniqueConstraint("job_id", "name", name=op.f("uq_series_job_id_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "series_points",
        sa.Column("series", NUMBER, nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Float(53), nullable=True),
        sa.Column("at", sa.Float(53), nullable=False),
        sa.ForeignKeyConstraint(
            ["series"], ["series.number"], name=op.f("fk_series_points_series"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("series", "step", name=op.f("pk_series_points")),
        # The table has the order of its key: points that are read together are stored together.
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("series_points")
    op.drop_table("series")
