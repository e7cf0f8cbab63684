"""The schema: the migrations alone make it, it equals the tables in the code, and it enforces the invariants."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import JSON, Engine, create_engine, inspect, select, text, update
from sqlalchemy.exc import IntegrityError, InternalError

from service.db.engine import open_engine
from service.db.migrate import alembic_config, migrate, migrations_folder
from service.db.tables import Attempt, Base, Checkpoint, Epoch, Event, Job
from tests.service.helpers import ON_BOTH, ON_POSTGRESQL, ON_SQLITE, Api

pytestmark = ON_BOTH


def test_the_migrations_make_what_the_tables_say(empty_database_url: str) -> None:
    migrate(empty_database_url)
    with opened(empty_database_url) as engine, engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": defaults_differ, "include_object": comparable}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def comparable(_object: Any, name: str | None, *_others: Any) -> bool:
    """Alembic takes an index with a collation for another one than the same index in the database."""
    return name != "ix_jobs_name_number"


def defaults_differ(_context: Any, column: Any, _other: Any, found: str | None, _said: Any, wanted: str | None) -> Any:
    """None leaves the comparison to Alembic.

    Alembic cannot compare JSON defaults, because it asks PostgreSQL whether they are equal.
    """
    if not isinstance(column.type, JSON):
        return None
    return (found or "").removesuffix("::json") != (wanted or "")


def test_the_checks_and_partial_indexes_are_the_same_too(new_database_url: Callable[[], str]) -> None:
    """Alembic compares neither checks nor partial indexes.

    So the tables are also created from the code, only in this test.
    """
    migrated, made = new_database_url(), new_database_url()
    migrate(migrated)
    with opened(migrated) as one, opened(made) as two:
        Base.metadata.create_all(two)
        ours, theirs = inspect(one), inspect(two)
        for table in Base.metadata.tables:
            for facts in ("get_check_constraints", "get_indexes", "get_unique_constraints", "get_foreign_keys"):
                assert by_name(getattr(ours, facts)(table)) == by_name(getattr(theirs, facts)(table)), (table, facts)


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    engine = open_engine(url)
    yield engine
    engine.dispose()


def by_name(found: list[dict[str, Any]]) -> dict[str, Any]:
    return {str(one["name"]): {**one, "dialect_options": options(one)} for one in found}


def options(one: dict[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in one.get("dialect_options", {}).items()}


def test_up_down_and_up_again(empty_database_url: str) -> None:
    url = empty_database_url
    migrate(url)
    migrate(url, "base")
    with opened(url) as engine:
        assert inspect(engine).get_table_names() == ["alembic_version"]
    migrate(url)
    migrate(url)
    with opened(url) as engine:
        assert set(Base.metadata.tables) < set(inspect(engine).get_table_names())


def test_there_is_one_head() -> None:
    with create_engine("sqlite://").connect() as connection:
        assert len(ScriptDirectory.from_config(alembic_config(connection)).get_heads()) == 1
    assert (migrations_folder() / "env.py").is_file()


@ON_SQLITE
def test_sqlite_is_set_up_for_many_writers(api: Api) -> None:
    with api.services.database.read() as session:
        values = {
            name: session.execute(text(f"PRAGMA {name}")).scalar_one() for name in ("journal_mode", "foreign_keys")
        }
    assert values == {"journal_mode": "wal", "foreign_keys": 1}


@ON_POSTGRESQL
def test_postgresql_is_set_up_for_many_replicas(api: Api) -> None:
    wanted = {"statement_timeout": "30s", "lock_timeout": "10s", "idle_in_transaction_session_timeout": "15s"}
    with api.services.database.write() as session:
        found = {name: session.execute(text(f"SHOW {name}")).scalar_one() for name in wanted}
        assert session.execute(text("SHOW transaction_isolation")).scalar_one() == "read committed"
    assert found == wanted
    with api.services.database.read() as session:
        assert session.execute(text("SHOW transaction_isolation")).scalar_one() == "repeatable read"
        with pytest.raises(InternalError, match="read-only"):
            session.execute(update(Job).values(name="other"))


def test_what_the_url_says_goes_before_what_is_usual(postgres_url: str) -> None:
    with opened(f"{postgres_url}&options=-c%20lock_timeout%3D77s") as engine, engine.connect() as connection:
        found = [
            connection.execute(text(f"SHOW {name}")).scalar_one() for name in ("lock_timeout", "statement_timeout")
        ]
    assert found == ["77s", "0"]


def test_a_reader_sees_one_state(api: Api) -> None:
    job_id = api.submit()["id"]
    with api.services.database.read() as session:
        assert session.execute(select(Job.version)).scalar_one() == 2
        api.ask(job_id, "pause")
        api.submit()
        assert session.execute(select(Job.version)).scalars().all() == [2]
    assert api.job(job_id)["version"] > 2


def refused(api: Api, statement: Any) -> bool:
    with pytest.raises(IntegrityError), api.services.database.write() as session:
        session.execute(statement)
    return True


def test_the_database_repeats_the_invariants(api: Api) -> None:
    hand = api.running()
    hand.checkpoint(1)
    hand.epoch(1, 1, 1)
    hand.finish("preempted")
    first, second = api.items(hand.job_id, "attempts")
    now = "2026-01-01 00:00:00.000000"
    live = {"id": "f" * 32, "job_id": hand.job_id, "number": 9, "state": "queued"}
    rest = {"progressed": False, "dispatches": 0, "not_before": text(f"'{now}'"), "created_at": text(f"'{now}'")}
    insert = Attempt.__table__.insert()
    assert refused(api, insert.values(**live, **rest))  # two live attempts
    assert refused(api, insert.values(**{**live, "state": "lost", "number": 1}, **rest))  # the same number twice
    assert refused(api, insert.values(**{**live, "state": "lost", "job_id": "0" * 32}, **rest))  # no such job
    # A lost attempt runs again.
    assert refused(api, update(Attempt).where(Attempt.id == first["id"]).values(state="running"))
    # The same fencing token twice.
    assert refused(api, update(Attempt).where(Attempt.id == second["id"]).values(fence=1))
    assert refused(api, update(Attempt).where(Attempt.id == first["id"]).values(state="bored"))
    assert refused(api, update(Job).values(state="bored"))
    assert refused(api, update(Job).values(desired="sleep"))
    assert refused(api, update(Checkpoint).values(state="bored"))
    with api.services.database.read() as session:
        epoch = session.query(Epoch).one()
        event = session.query(Event).filter_by(sequence=1).one()
        columns = {c.name: getattr(epoch, c.name) for c in Epoch.__table__.columns}
        line = {c.name: getattr(event, c.name) for c in Event.__table__.columns}
    assert refused(api, Epoch.__table__.insert().values(**columns))
    assert refused(api, Event.__table__.insert().values(**line))


def test_a_reader_is_not_blocked_by_a_writer(api: Api) -> None:
    job_id = api.submit()["id"]
    with api.services.database.write() as session:
        session.execute(update(Job).values(name="other"))
        assert api.job(job_id)["name"] == "small"
    assert api.job(job_id)["name"] == "other"


@ON_SQLITE
def test_times_sort_as_text(api: Api, tmp_path: Path) -> None:
    """The database's clock and times that are computed from it must have the same text form.

    Otherwise leases are compared wrongly.
    """
    api.running()
    rows = (
        sqlite3.connect(tmp_path / "baton.db").execute("SELECT lease_expires_at, claimed_at FROM attempts").fetchall()
    )
    clock = sqlite3.connect(tmp_path / "baton.db").execute("SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now')").fetchone()
    assert {len(value) for value in (*rows[0], *clock)} == {26}
