"""All metrics of an epoch by name. The previous release ignores the column and writes rows without it.

Existing rows get the metrics of their four columns. On PostgreSQL each batch of rows is a transaction of its own, so
other processes write meanwhile. An interrupted migration continues where it stopped, because it leaves out filled rows.
"""

from __future__ import annotations

import json
import math

import sqlalchemy as sa
from alembic import op

from migrations.indexes import outside_transaction

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

BATCH = 5_000
METRICS = ("loss", "accuracy", "val_loss", "val_accuracy")
EPOCHS = sa.table(
    "epochs",
    sa.column("job_id", sa.String),
    sa.column("epoch", sa.Integer),
    *(sa.column(name, sa.Float) for name in METRICS),
    sa.column("metrics", sa.JSON),
)
EMPTY = EPOCHS.c.metrics.is_(None)


def upgrade() -> None:
    # An interrupted migration has already committed the column.
    if "metrics" not in {column["name"] for column in sa.inspect(op.get_bind()).get_columns("epochs")}:
        op.add_column("epochs", sa.Column("metrics", sa.JSON(), nullable=True))
    with outside_transaction() as on_postgresql:
        if on_postgresql:
            fill_in_batches(BATCH)
        else:
            fill_at_once()


def downgrade() -> None:
    op.drop_column("epochs", "metrics")


def fill_in_batches(rows: int) -> None:
    """Fill the empty rows in the order of the primary key. Each transaction reads at most `rows` rows."""
    connection = op.get_bind()
    key = (EPOCHS.c.job_id, EPOCHS.c.epoch)
    # to_json writes infinity as text, as the service does. NULL is NaN.
    values = ((name, sa.func.coalesce(sa.func.to_json(EPOCHS.c[name]), sa.text("'\"NaN\"'::json"))) for name in METRICS)
    fill = sa.update(EPOCHS).values(metrics=sa.func.json_build_object(*(part for pair in values for part in pair)))
    after: tuple[str, int] | None = ("", 0)
    while after is not None:
        rest = sa.tuple_(*key) > after
        last = connection.execute(sa.select(*key).where(rest).order_by(*key).offset(rows - 1).limit(1)).first()
        connection.execute(fill.where(EMPTY, rest, *([] if last is None else [sa.tuple_(*key) <= tuple(last)])))
        after = None if last is None else (last.job_id, last.epoch)


def fill_at_once() -> None:
    """Fill the empty rows of an SQLite file, which no other process uses during a migration."""
    connection = op.get_bind()
    # A function of Python, because those of SQLite round a number to 15 digits.
    driver = connection.connection.driver_connection
    driver.create_function("metrics_of", len(METRICS), metrics_of, deterministic=True)
    found = sa.func.metrics_of(*(EPOCHS.c[name] for name in METRICS))
    connection.execute(sa.update(EPOCHS).where(EMPTY).values(metrics=found))


def metrics_of(*values: float | None) -> str:
    """The metrics as JSON. NULL is NaN. JSON holds NaN and infinity as text."""
    return json.dumps({name: _number(value) for name, value in zip(METRICS, values, strict=True)})


def _number(value: float | None) -> float | str:
    if value is None or math.isnan(value):
        return "NaN"
    return value if math.isfinite(value) else ("Infinity" if value > 0 else "-Infinity")
