"""What was compiled on this machine, for the jobs after it: they start fast, and with the same bits.

Of a key there is one set, and who replaces it has all of its programs and more: two processes that chose differently
are never mixed.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterable
from contextlib import AbstractContextManager
from pathlib import Path

from pydantic import TypeAdapter

from core.domain.manifest import FileEntry
from core.locks import held
from worker.programs.folder import AUTOTUNING, Program

INDEX = "index.json"
KEPT = 32
"""Sets that a machine keeps; the one that was not used for longest goes."""

BUSY_SECONDS = 2.0
"""The longest wait for the lock of a set. A checkpoint may wait behind it."""

Contents = frozenset[tuple[str, str]]
_ENTRIES = TypeAdapter(tuple[FileEntry, ...])
log = logging.getLogger(__name__)


def contents(programs: Iterable[Program]) -> Contents:
    """Names and checksums: what makes two sets the same."""
    return frozenset((program.name, program.crc32c) for program in programs)


class MachineCache:
    """Sets of programs below a folder of the worker's cache. Nothing here is worth a failure: it only warns."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, key: str) -> tuple[Program, ...]:
        """The set of a key; none where there is none, or where a byte of it changed."""
        try:
            with self._locked(key):
                found = self._read(key)
                if found:
                    os.utime(self._folder / key / INDEX)
                return found
        except OSError as error:
            log.warning("no compiled program is taken from this machine's cache: %s", error)
            return ()

    def give(self, key: str, programs: tuple[Program, ...]) -> bool:
        """Replaces a set by one that has all of its programs; False where it lacks one, as another chose before."""
        try:
            with self._locked(key):
                before = contents(p for p in self._read(key) if p.name != AUTOTUNING)  # it grows
                if not before <= contents(programs):
                    return False
                self._write(key, programs)
            self._tidy()
        except OSError as error:
            log.warning("a compiled program is not kept on this machine: %s", error)
            return False
        return True

    def forget(self, key: str) -> None:
        """Removes a set."""
        try:
            with self._locked(key):
                shutil.rmtree(self._folder / key, ignore_errors=True)
        except OSError as error:
            log.warning("a compiled program stays in this machine's cache: %s", error)

    def _locked(self, key: str) -> AbstractContextManager[None]:
        self._folder.mkdir(parents=True, exist_ok=True)
        return held(self._folder / f"{key}.lock", seconds=BUSY_SECONDS)

    def _read(self, key: str) -> tuple[Program, ...]:
        folder = self._folder / key
        if not folder.exists():
            return ()
        try:
            return _verified(folder)
        except (OSError, ValueError) as error:
            shutil.rmtree(folder)
            log.warning("the compiled program in %s is damaged, and removed: %s", folder, error)
            return ()

    def _write(self, key: str, programs: tuple[Program, ...]) -> None:
        new, folder = self._folder / f"{key}.new", self._folder / key
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        for program in programs:
            (new / program.name).write_bytes(program.data)
        entries = tuple(FileEntry(name=p.name, size=len(p.data), crc32c=p.crc32c) for p in programs)
        (new / INDEX).write_bytes(_ENTRIES.dump_json(entries))
        # Between these two there is no set: whoever looks then waits for the lock, and a death there costs it.
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)

    def _tidy(self) -> None:
        sets = sorted(self._folder.glob(f"*/{INDEX}"), key=lambda index: index.stat().st_mtime)
        for index in sets[:-KEPT]:
            self.forget(index.parent.name)


def _verified(folder: Path) -> tuple[Program, ...]:
    entries = _ENTRIES.validate_json((folder / INDEX).read_bytes())
    programs = tuple(Program.of(entry.name, (folder / entry.name).read_bytes()) for entry in entries)
    if contents(programs) != {(entry.name, entry.crc32c) for entry in entries}:
        raise ValueError("its checksums are others")
    return programs
