"""Updates a database's schema. Safe if several processes start at the same time, and while others use the database.

A SQLite file is migrated in one transaction. On PostgreSQL one transaction changes the tables. Indexes are built after
it, concurrently with writers. service.db.postgres_migration handles the waiting.
"""

from __future__ import annotations

import importlib.util
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, inspect, select, text
from sqlalchemy.exc import OperationalError

from service.db.engine import WRITE, open_engine
from service.db.operation_tables import Compatibility
from service.db.postgres_migration import WAIT_SECONDS, Contention, UnfitDatabase

__all__ = ("Standing", "UnfitDatabase", "alembic_config", "migrate", "migrations_folder", "require_current", "standing")
HEAD = "head"


@dataclass(frozen=True)
class Standing:
    """The revision of a database's schema (None: an empty database) and the revision that this version needs.

    `newer`: the database's revision is not one of this version's migrations.
    """

    found: str | None
    wanted: str
    newer: bool

    @property
    def behind(self) -> bool:
        """Whether a migration is due."""
        return not self.newer and self.found != self.wanted


def migrations_folder() -> Path:
    """The folder of the migrations, in a checkout or in an installed wheel."""
    found = importlib.util.find_spec("migrations")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the package 'migrations' is missing; install Baton again")
    return Path(next(iter(found.submodule_search_locations)))


def alembic_config(connection: Connection) -> Config:
    """Alembic's settings for an open connection."""
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()))
    config.attributes["connection"] = connection
    return config


def standing(url: str) -> Standing:
    """The state of the database's schema. Changes nothing. Raises UnfitDatabase, SQLAlchemyError, OSError."""
    engine = open_engine(url)
    try:
        with engine.connect() as connection:
            return _standing(connection)
    finally:
        engine.dispose()


def require_current(url: str) -> None:
    """Raises UnfitDatabase unless this version can run on the current schema, SQLAlchemyError, OSError."""
    found = standing(url)
    if found.behind:
        raise UnfitDatabase(
            f"its schema is at revision {found.found or 'none'} and this version needs {found.wanted}: run `baton "
            "migrate` with the same BATON_DATABASE_URL first, or leave out BATON_MIGRATE=0"
        )


def migrate(
    url: str, target: str = HEAD, *, seconds: float = WAIT_SECONDS, say: Callable[[str], object] = lambda _: None
) -> Standing:
    """Upgrade the database, or downgrade it to an older revision. Returns its state before.

    One process at a time. `seconds`: how long to wait for locks of other processes. `say` gets reports of this wait.

    A schema of a newer version is not changed if this version can run on it.

    Raises UnfitDatabase, SQLAlchemyError, OSError.
    """
    engine = open_engine(url, migrating=True)
    try:
        _use_wal(engine)
        if engine.dialect.name == "sqlite":
            with engine.execution_options(**WRITE).begin() as connection:
                return _move(connection, target)
        _check_encoding(engine)
        return Contention(engine, seconds, say).run(lambda connection: _move(connection, target))
    finally:
        engine.dispose()


def _move(connection: Connection, target: str) -> Standing:
    config = alembic_config(connection)
    before = _standing(connection)
    if before.newer and target != HEAD:
        raise _too_new(before.found)
    if connection.dialect.name != "sqlite":
        connection.rollback()  # end the read transaction; Alembic begins and commits its own
    if target != HEAD:
        command.downgrade(config, target)
    elif before.behind:
        command.upgrade(config, target)
    return before


def _standing(connection: Connection) -> Standing:
    """Raises UnfitDatabase if the schema is newer and this version cannot run on it."""
    scripts = ScriptDirectory.from_config(alembic_config(connection))
    found = MigrationContext.configure(connection).get_current_revision()
    newer = found is not None and not _knows(scripts, found)
    if newer and not _runs_on(connection, scripts):
        raise _too_new(found)
    return Standing(found, str(scripts.get_current_head()), newer)


def _knows(scripts: ScriptDirectory, revision: str) -> bool:
    try:
        scripts.get_revision(revision)
    except CommandError:
        return False
    return True


def _runs_on(connection: Connection, scripts: ScriptDirectory) -> bool:
    """Whether this version's code can run on the newer schema. The database records this (docs/decisions/0031)."""
    if not inspect(connection).has_table(Compatibility.__tablename__):
        return False
    oldest = connection.execute(select(Compatibility.oldest_revision)).scalar()
    return oldest is not None and _knows(scripts, oldest)


def _too_new(revision: str | None) -> UnfitDatabase:
    return UnfitDatabase(
        f"a newer version of Baton brought it to revision {(revision or '')[:64]}, which this one does not know: "
        "run that version, or restore a backup from before"
    )


def _check_encoding(engine: Engine) -> None:
    with engine.connect() as connection:
        encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise UnfitDatabase(
            f"the database's encoding is {encoding}, which cannot store every name; create it with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )


def _use_wal(engine: Engine) -> None:
    # The switch to WAL, needed once per file, ignores the busy timeout and fails at once if the file is in use.
    if engine.dialect.name != "sqlite":
        return
    deadline = time.monotonic() + 30
    while not _try_wal(engine):
        if time.monotonic() > deadline:
            raise TimeoutError("the SQLite file stays locked by another process; stop it and try again")
        time.sleep(0.05)


def _try_wal(engine: Engine) -> bool:
    try:
        connection = engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
    except (OperationalError, sqlite3.OperationalError) as error:
        if "locked" not in str(error):
            raise
        return False
    return True
