"""Tables for pushed data, and the column with the data that a job uses. The previous release ignores them."""

import sqlalchemy as sa
from alembic import op

from migrations.indexes import create_index, drop_index, outside_transaction

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)
UNHELD = sa.text("holders = 0")
PINNING = "data IS NOT NULL AND finished_at IS NULL"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("data", sa.String(length=140), nullable=True))
    _objects()
    _versions()
    with outside_transaction() as concurrently:
        create_index("ix_jobs_pinning", "jobs", ["data"], PINNING, concurrently=concurrently)


def _objects() -> None:
    op.create_table(
        "data_objects",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("used_at", MOMENT, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=True),
        sa.Column("holders", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("doomed_at", MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_data_objects")),
        sa.UniqueConstraint("name", name=op.f("uq_data_objects_name")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_data_objects_unheld", "data_objects", ["used_at"], sqlite_where=UNHELD, postgresql_where=UNHELD)
    op.create_table(
        "data_parts",
        sa.Column("whole", NUMBER, nullable=False),
        sa.Column("part", NUMBER, nullable=False),
        sa.ForeignKeyConstraint(["whole"], ["data_objects.number"], name=op.f("fk_data_parts_whole")),
        sa.ForeignKeyConstraint(["part"], ["data_objects.number"], name=op.f("fk_data_parts_part")),
        sa.PrimaryKeyConstraint("whole", "part", name=op.f("pk_data_parts")),
    )
    op.create_index(op.f("ix_data_parts_part"), "data_parts", ["part"])


def _versions() -> None:
    op.create_table(
        "data_versions",
        sa.Column("number", NUMBER, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("manifest", NUMBER, nullable=False),
        sa.Column("kind", sa.String(length=10), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.String(length=63), nullable=False),
        sa.Column("last_used_at", MOMENT, nullable=False),
        sa.CheckConstraint("kind IN ('file', 'folder')", name=op.f("ck_data_versions_kind")),
        sa.ForeignKeyConstraint(["manifest"], ["data_objects.number"], name=op.f("fk_data_versions_manifest")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_data_versions")),
        sa.UniqueConstraint("name", "digest", name=op.f("uq_data_versions_name_digest")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_data_versions_name_number", "data_versions", ["name", "number"])
    for column in ("digest", "manifest", "last_used_at"):
        op.create_index(op.f(f"ix_data_versions_{column}"), "data_versions", [column])


def downgrade() -> None:
    # The objects stay in the store: data that is pushed after the next upgrade uses them again.
    with outside_transaction() as concurrently:
        drop_index("ix_jobs_pinning", "jobs", concurrently=concurrently)
    for table in ("data_versions", "data_parts", "data_objects"):
        op.drop_table(table)
    op.drop_column("jobs", "data")
