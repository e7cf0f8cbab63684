"""The table of code bundles, and the column with the bundle that a job names. The previous release ignores both.

A bundle holds its row in `data_objects`, so the previous release does not delete its object.
"""

import sqlalchemy as sa
from alembic import op

from migrations.indexes import create_index, drop_index, outside_transaction

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
CODED = "code IS NOT NULL"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("code", sa.String(length=64), nullable=True))
    op.create_table(
        "code_bundles",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("object", NUMBER, nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.String(length=63), nullable=False),
        sa.Column("last_used_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["object"], ["data_objects.number"], name=op.f("fk_code_bundles_object")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_code_bundles")),
    )
    for column in ("object", "last_used_at"):
        op.create_index(op.f(f"ix_code_bundles_{column}"), "code_bundles", [column])
    with outside_transaction() as concurrently:
        create_index("ix_jobs_code", "jobs", ["code"], CODED, concurrently=concurrently)


def downgrade() -> None:
    # The previous release deletes objects that nothing holds.
    op.execute(sa.text("UPDATE data_objects SET holders = 0 WHERE name LIKE 'code/%'"))
    with outside_transaction() as concurrently:
        drop_index("ix_jobs_code", "jobs", concurrently=concurrently)
    op.drop_table("code_bundles")
    op.drop_column("jobs", "code")
