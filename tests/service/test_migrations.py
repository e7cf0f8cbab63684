"""Each migration keeps the existing rows, up and down, on SQLite and on PostgreSQL."""

from __future__ import annotations

import importlib
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, select, text
from sqlalchemy.exc import SQLAlchemyError

from service.db.engine import open_engine
from service.db.migrate import (
    Standing,
    UnfitDatabase,
    alembic_config,
    migrate,
    require_current,
    standing,
)
from service.db.tables import Epoch
from tests.service.helpers import ON_BOTH
from tests.service.rows import everything, fill, schema
from tests.support.service import ROOT

pytestmark = ON_BOTH

Rows = dict[str, list[dict[str, Any]]]


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = open_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def content(url: str) -> Rows:
    with connected(url) as connection:
        return everything(connection)


def layout(url: str) -> dict[str, Any]:
    with connected(url) as connection:
        return schema(connection)


def revisions() -> list[str]:
    """All revisions, oldest first."""
    with create_engine("sqlite://").connect() as connection:
        scripts = ScriptDirectory.from_config(alembic_config(connection))
        return [script.revision for script in scripts.walk_revisions()][::-1]


def common(before: Rows, after: Rows) -> tuple[Rows, Rows]:
    """Both arguments, reduced to the tables and columns that both have."""

    def cut(rows: Rows, others: Rows) -> Rows:
        return {
            table: [{k: v for k, v in row.items() if k in others[table][0]} for row in found]
            for table, found in rows.items()
            if others.get(table)
        }

    return cut(before, after), cut(after, before)


@pytest.fixture
def old(empty_database_url: str) -> str:
    """A database of revision 0001 with rows in all its tables."""
    migrate(empty_database_url)
    migrate(empty_database_url, "0001")
    with connected(empty_database_url) as connection:
        fill(connection)
    return empty_database_url


@pytest.fixture
def full(empty_database_url: str) -> str:
    """A database of the newest revision with rows in all its tables."""
    migrate(empty_database_url)
    with connected(empty_database_url) as connection:
        fill(connection)
    return empty_database_url


def test_rows_get_their_new_columns(old: str) -> None:
    migrate(old)
    after = content(old)
    paused, running = after["jobs"]
    assert paused["paused_at"] == after["events"][1]["at"]
    assert running["paused_at"] is None
    for job in after["jobs"]:
        assert (job["paused_seconds"], job["restore_failures"], job["overdue_since"]) == (0.0, 0, None)
    live, ended = after["attempts"]
    assert live["started_at"] == live["claimed_at"]
    assert ended["started_at"] is None
    for attempt in after["attempts"]:
        assert (attempt["seconds"], attempt["covered_seconds"], attempt["interval_seconds"]) in (
            ("{}", 0.0, None),
            ({}, 0.0, None),
        )
    checkpoint = after["checkpoints"][0]
    assert (checkpoint["stall_seconds"], checkpoint["trained_seconds"]) == (0.0, 0.0)


@pytest.mark.parametrize("begun", [False, True])
def test_rows_of_the_history_get_their_metrics_in_batches(
    old: str, begun: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`begun`: an earlier migration was interrupted after it had added the column and filled one row."""
    script = importlib.import_module("migrations.versions.0016_metrics_of_epochs")
    monkeypatch.setattr(script, "BATCH", 2)
    with connected(old) as connection:
        row = "job_id, fence, stage, stage_epoch, global_step, image_size, batch_size, attempt, finished_at"
        for epoch in range(2, 7):
            connection.execute(
                text(f"INSERT INTO epochs (epoch, {row}) SELECT {epoch}, {row} FROM epochs WHERE epoch = 1")
            )
        change = text("UPDATE epochs SET loss = :loss, val_accuracy = :accuracy WHERE epoch = 6")
        connection.execute(change, {"loss": math.inf, "accuracy": 0.1 + 0.2})
    if begun:
        migrate(old, "0001")
        with connected(old) as connection:
            connection.execute(text("ALTER TABLE epochs ADD COLUMN metrics JSON"))
            connection.execute(text("UPDATE epochs SET metrics = '{}' WHERE epoch = 3"))
    migrate(old)
    with connected(old) as connection:
        found = connection.execute(select(Epoch.epoch, Epoch.metrics).order_by(Epoch.epoch)).all()
    nothing = dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), "NaN")
    wanted = [{**nothing, "accuracy": 0.1, "val_loss": 1 / 3}, nothing, nothing, nothing, nothing]
    wanted.append({**nothing, "loss": "Infinity", "val_accuracy": 0.1 + 0.2})
    if begun:
        wanted[2] = {}
    assert [row.metrics for row in found] == wanted


def test_up_and_down_again_loses_nothing_that_was_there_before(old: str) -> None:
    rows, tables = content(old), layout(old)
    assert all(rows.values())
    migrate(old)
    whole = layout(old)
    migrate(old, "0001")
    assert content(old) == rows
    assert layout(old) == tables
    migrate(old)
    assert layout(old) == whole


def test_down_and_up_keeps_what_every_revision_on_the_way_can_hold(full: str) -> None:
    rows, tables = content(full), layout(full)
    assert all(rows.values())
    for target in revisions()[-2::-1]:
        migrate(full, target)
        ours, theirs = common(rows, content(full))
        assert theirs == ours, f"rows changed on the way down to {target}"
        assert set(theirs) == set(content(full))
    migrate(full)
    assert layout(full) == tables
    back = content(full)
    ours, theirs = common(ours, back)
    assert theirs == ours, "rows changed on the way up"
    migrate(full, "base")
    assert content(full) == {}
    migrate(full)
    assert layout(full) == tables


@pytest.mark.process
def test_two_processes_migrate_the_same_rows_at_once(old: str) -> None:
    rows = content(old)
    code = f"from service.db.migrate import migrate; migrate({old!r})"
    both = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(2)]
    for one in both:
        _, errors = one.communicate(timeout=120)
        assert one.returncode == 0, errors.decode()
    with connected(old) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == revisions()[-1:]
    ours, theirs = common(rows, content(old))
    assert theirs == ours


def test_a_migration_that_fails_leaves_all_as_it_was(old: str) -> None:
    with connected(old) as connection:
        connection.execute(text("CREATE TABLE leaders (in_the_way INTEGER, too INTEGER)"))
        connection.execute(text("INSERT INTO leaders VALUES (1, 2)"))
    rows, tables = content(old), layout(old)
    with pytest.raises(SQLAlchemyError, match="leaders"):
        migrate(old)
    assert (content(old), layout(old)) == (rows, tables)
    with connected(old) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == "0001"
        connection.execute(text("DROP TABLE leaders"))
    migrate(old)


def brought_to_9999(url: str, oldest: str) -> None:
    """Mark the database as if a newer version had migrated it to revision 9999, with `oldest` as the oldest code that
    runs on it.
    """
    with connected(url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE schema_compatibility SET oldest_revision = :oldest"), {"oldest": oldest})


def test_a_database_of_a_newer_version_is_refused_and_left_alone(full: str) -> None:
    """To go back to before an incompatible change, restore a backup: an older service does not change a schema that it
    does not know.
    """
    brought_to_9999(full, oldest="9998")
    rows = content(full)
    for target in ("head", "0001"):
        with pytest.raises(UnfitDatabase, match="a newer version of Baton brought it to revision 9999"):
            migrate(full, target)
    with pytest.raises(UnfitDatabase, match="9999"):
        require_current(full)
    assert content(full) == rows


def test_a_newer_schema_that_only_adds_serves_an_older_version(full: str) -> None:
    newest = revisions()[-1]
    brought_to_9999(full, oldest=newest)
    rows = content(full)
    assert migrate(full) == standing(full) == Standing("9999", newest, newer=True)
    require_current(full)
    with pytest.raises(UnfitDatabase, match="9999"):  # it cannot migrate down from a revision that it does not know
        migrate(full, "0001")
    assert content(full) == rows


def test_the_schema_says_which_code_runs_on_it(full: str) -> None:
    assert content(full)["schema_compatibility"] == [{"id": 1, "oldest_revision": "0007"}]


def test_a_service_that_does_not_migrate_wants_the_schema_that_it_is_made_for(old: str) -> None:
    with pytest.raises(UnfitDatabase, match=r"at revision 0001 and this version needs .*: run `baton migrate`"):
        require_current(old)
    assert migrate(old).behind
    require_current(old)
