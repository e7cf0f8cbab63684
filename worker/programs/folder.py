"""The folder of one process: TensorFlow writes what it compiles into it, and reads what was compiled before."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from core.locks import free, held
from core.storage.checksum import crc32c_of

# What XLA measured when it chose among kernels. Its ending has XLA write text, of which a part is never valid.
AUTOTUNING = "autotuning.textproto"
ROOM = 256 * 10**6
"""Bytes that must be free: a program that cannot be written ends the step that compiled it."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.(pb|textproto)")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """One file as it was found. `digest`: of its content, part of its name in the store."""

    name: str
    data: bytes
    crc32c: str
    digest: str

    @classmethod
    def of(cls, name: str, data: bytes) -> Program:
        """With its checksums."""
        return cls(name, data, crc32c_of(data), hashlib.sha256(data).hexdigest()[:16])


class Folder:
    """Below `runs`, gone with its process: one that was killed leaves its own to the next process here.

    Raises:
        OSError: there can be no such folder.
    """

    def __init__(self, runs: Path) -> None:
        runs.mkdir(parents=True, exist_ok=True)
        _remove_dead(runs)
        name = uuid.uuid4().hex
        self.path, self._lock = runs / name, runs / f"{name}.lock"
        self._alive = ExitStack()
        self._alive.enter_context(held(self._lock))
        self.path.mkdir()
        self._seen: dict[str, tuple[tuple[int, int], Program]] = {}

    def announce(self) -> None:
        """Has TensorFlow keep its programs here. To be called before it looks for devices: it reads its flags then."""
        _add_flag("TF_XLA_FLAGS", "--tf_xla_persistent_cache_directory", self.path)

    def announce_autotuning(self) -> None:
        """Has XLA keep its measurements here, and use those that are here: it reads its flags as it first compiles.

        To be called once the folder is filled: a file that is named and not there ends the compilation. Raises OSError.
        """
        self.path.mkdir(parents=True, exist_ok=True)  # somebody may have cleared the cache while the process waited
        file = self.path / AUTOTUNING
        _add_flag("XLA_FLAGS", "--xla_gpu_dump_autotune_results_to", file)
        if file.exists():
            _add_flag("XLA_FLAGS", "--xla_gpu_load_autotune_results_from", file)

    def put(self, program: Program) -> None:
        """Adds a file. Raises OSError."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / program.name).write_bytes(program.data)

    def empty(self) -> None:
        """Takes out what was put in."""
        shutil.rmtree(self.path, ignore_errors=True)

    def found(self) -> tuple[Program, ...]:
        """What is here, read again where it changed; for the thread that compiles: no file is half written then."""
        names = sorted(entry.name for entry in os.scandir(self.path) if _NAME.fullmatch(entry.name))
        return tuple(self._find(name) for name in names)

    def _find(self, name: str) -> Program:
        file = self.path / name
        status = file.stat()
        state, seen = (status.st_mtime_ns, status.st_size), self._seen.get(name)
        if seen is None or seen[0] != state:
            seen = self._seen[name] = state, Program.of(name, file.read_bytes())
        return seen[1]

    def close(self) -> None:
        """Removes it."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.unlink(missing_ok=True)
        self._alive.close()


def open_folder(cache: Path) -> Folder | None:
    """A folder below a worker's cache; None where there can be none, as it is worth no failure."""
    runs = cache / "programs" / "runs"
    try:
        folder = Folder(runs)
        if shutil.disk_usage(runs).free >= ROOM:
            return folder
        folder.close()
        log.warning("compiled programs are not kept: less than %d MB are free in %s", ROOM // 10**6, runs)
    except OSError as error:
        log.warning("compiled programs are not kept: %s cannot be written: %s", runs, error)
    return None


def _remove_dead(runs: Path) -> None:
    for folder in [entry for entry in runs.iterdir() if entry.is_dir()]:
        lock = folder.with_name(f"{folder.name}.lock")
        with free(lock) as dead:
            if dead:
                shutil.rmtree(folder, ignore_errors=True)
                lock.unlink(missing_ok=True)


def _add_flag(variable: str, flag: str, path: Path) -> None:
    # What is last wins, over what somebody has set before.
    quote = '"' if "'" in str(path) else "'"
    os.environ[variable] = f"{os.environ.get(variable, '')} {flag}={quote}{path}{quote}".strip()
