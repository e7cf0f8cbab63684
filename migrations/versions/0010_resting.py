"""Columns for workers that take no work for some time because attempts crashed on them. The previous release ignores
these columns.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("rests_until", sa.DateTime(timezone=True), nullable=True))
    op.add_column("workers", sa.Column("rests_why", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "rests_why")
    op.drop_column("workers", "rests_until")
