"""Files and lock of the data directory of a local stack."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from baton.client.connection import CONNECTION_FILE, Connection
from baton.local.errors import Occupied, StackError

LARGE_LOG = 10 * 2**20


class DataDirectory:
    """The data directory of one stack."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def database_url(self) -> str:
        """The SQLite URL for SQLAlchemy."""
        return f"sqlite:///{self.root / 'baton.db'}"

    @property
    def store_url(self) -> str:
        """The URL of the store for checkpoints and artifacts."""
        return (self.root / "store").as_uri()

    @property
    def redis(self) -> Path:
        """The directory of Redis."""
        return self.root / "redis"

    def make(self) -> None:
        """Creates the directories, accessible only to their owner.

        Raises:
            StackError: a directory cannot be created.
        """
        try:
            for path in (self.root, self.redis, self.root / "store", self.root / "logs"):
                path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StackError(f"cannot create {error.filename}: {error.strerror}; choose another with --data") from None

    def log(self, name: str) -> Path:
        """The log file of a child. A large file is renamed first, so that a new one begins."""
        path = self.root / "logs" / f"{name}.log"
        if path.exists() and path.stat().st_size > LARGE_LOG:
            path.replace(path.with_suffix(".log.1"))
        return path

    def token(self) -> str:
        """The token of this stack with all scopes, created once."""
        return self._secret("token")

    def work_token(self) -> str:
        """The token of this stack's workers, created once."""
        return self._secret("work-token")

    def _secret(self, name: str) -> str:
        path = self.root / name
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32))
        return path.read_text().strip()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Locks the directory. The kernel releases the lock when the process ends for any reason.

        Raises:
            Occupied: another stack uses it.
        """
        with (self.root / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = Path(file.name).read_text() or "unknown"
                raise Occupied(
                    f"another `baton up` (process {holder}) uses {self.root}: use it, stop it, or choose another "
                    "directory with --data"
                ) from None
            file.truncate(0)
            file.write(str(os.getpid()))
            file.flush()
            yield

    def announce(self, connection: Connection) -> None:
        """Writes the connection file, so that commands in this folder find the stack."""
        write_private(self.root / CONNECTION_FILE, connection.model_dump_json(indent=2))

    def withdraw(self) -> None:
        """Deletes the connection file."""
        (self.root / CONNECTION_FILE).unlink(missing_ok=True)

    def write_processes(self, processes: Mapping[str, int]) -> None:
        """Writes the process ids by the names of the children."""
        write_private(self.root / "processes.json", json.dumps(dict(processes), indent=2))


def write_private(path: Path, text: str) -> None:
    """Writes a file atomically. Only its owner can read it."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    partial.replace(path)
