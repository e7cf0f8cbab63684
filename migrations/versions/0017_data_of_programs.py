"""The pushed data of programs, which may pin several versions. The previous release ignores the table.

During an upgrade the previous release does not see these pins, and may delete a version that a program needs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "job_data",
        sa.Column("job_number", NUMBER, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("reference", sa.String(length=140), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_number"], ["jobs.number"], name=op.f("fk_job_data_job_number"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_number", "name", name=op.f("pk_job_data")),
    )
    op.create_index("ix_job_data_reference", "job_data", ["reference"])


def downgrade() -> None:
    op.drop_table("job_data")
