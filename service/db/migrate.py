"""Brings a database's schema up to date. Safe when several replicas start at once."""

from __future__ import annotations

import importlib.util
import sqlite3
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from service.db.engine import WRITE, open_engine

LOCK_ID = 0x6261746F6E  # "baton"


class UnfitDatabase(Exception):
    """A database that cannot be used; the message says what to do."""


def migrations_folder() -> Path:
    """Where the migrations lie, in a checkout and in an installed wheel alike."""
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


def migrate(url: str, target: str = "head") -> None:
    """Upgrade (or, with an older revision, downgrade) the database in one transaction that only one caller can hold.

    Raises UnfitDatabase, SQLAlchemyError, OSError.
    """
    engine = open_engine(url, migrating=True)
    try:
        _use_wal(engine)
        with engine.execution_options(**WRITE).begin() as connection:
            _lock(connection)
            _move(connection, target)
    finally:
        engine.dispose()


def _move(connection: Connection, target: str) -> None:
    config = alembic_config(connection)
    _check_revision(connection, ScriptDirectory.from_config(config))
    if target == "head":
        command.upgrade(config, target)
    else:
        command.downgrade(config, target)


def _check_revision(connection: Connection, scripts: ScriptDirectory) -> None:
    for revision in MigrationContext.configure(connection).get_current_heads():
        try:
            scripts.get_revision(revision)
        except CommandError:
            raise UnfitDatabase(
                f"a newer version of Baton brought it to revision {revision[:64]}, which this one does not know: "
                "run that version, or go back to a backup from before"
            ) from None


def _lock(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        _check_encoding(connection)
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": LOCK_ID})


def _check_encoding(connection: Connection) -> None:
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise UnfitDatabase(
            f"the database's encoding is {encoding}, which cannot hold every name; make it with "
            "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
        )


def _use_wal(engine: Engine) -> None:
    # The switch to WAL does not wait for other connections, whatever the busy timeout; it is made once a file.
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
