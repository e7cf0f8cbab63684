"""Carries the compiled programs of one attempt: from a checkpoint into the folder, and from the folder to the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from core.domain.manifest import ProgramFile, ProgramSet, program_object
from core.domain.spec import JobSpec
from core.storage import BlobStore
from core.storage.errors import StoreError
from worker.programs.folder import Folder, Program
from worker.programs.key import ProgramKey
from worker.programs.machine import Contents, MachineCache, contents

Fetch = Callable[[str], bytes]
log = logging.getLogger(__name__)


class UnusableProgram(Exception):
    """The program that a checkpoint carries cannot be used here; the message says why."""


@dataclass(frozen=True)
class Compiler:
    """A training process that compiles. `machine`: what its programs depend on beside the spec, in words."""

    folder: Folder
    machine: Mapping[str, str]
    cache: Path

    def carrier(self, store: BlobStore, job_id: str, spec: JobSpec) -> Carrier:
        """For one attempt on a job."""
        sets = MachineCache(self.cache / "programs" / "sets")
        return Carrier(store, job_id, ProgramKey.of(spec, self.machine), self.folder, sets)


class Carrier:
    """`begin` or `restore` before the first compilation, then `found` with each save. What fails here only warns."""

    def __init__(self, store: BlobStore, job_id: str, key: ProgramKey, folder: Folder, sets: MachineCache) -> None:
        self._store, self._job_id, self._key, self._folder, self._sets = store, job_id, key, folder, sets
        self._kept: Contents = frozenset()
        self._found: tuple[Program, ...] = ()
        self._sent: dict[str, ProgramFile] = {}

    def begin(self, *, afresh: bool = False) -> None:
        """With what was compiled on this machine before. `afresh`: without it, as it may be what an attempt died of."""
        if afresh:
            self._sets.forget(self._key.text)
        programs = self._sets.take(self._key.text)
        if self._fill(programs):
            self._kept = contents(programs)

    def restore(self, carried: ProgramSet | None, fetch: Fetch) -> None:
        """With what a checkpoint carries; nothing of this machine's is mixed in.

        Raises:
            UnusableProgram: it cannot be used; to be followed by `begin`.
        """
        if carried is None:
            raise UnusableProgram("the checkpoint carries no compiled program")
        if carried.key != self._key.text:
            raise UnusableProgram(f"the compiled program is of another {self._key.differences(carried.made_for)}")
        programs = tuple(_fetched(entry, fetch) for entry in carried.files)
        if not self._fill(programs):
            raise UnusableProgram("the compiled program could not be written to this machine's disk")
        self._sent = {entry.object: entry for entry in carried.files}

    def _fill(self, programs: tuple[Program, ...]) -> bool:
        try:
            for program in programs:
                self._folder.put(program)
            self._folder.announce_autotuning()
        except OSError as error:
            log.warning("compiled programs could not be put in place: %s", error)
            self._folder.empty()
            return False
        self._found = programs
        return True

    def found(self) -> tuple[Program, ...]:
        """What the process uses by now; for the thread that compiles."""
        try:
            self._found = self._folder.found()
        except OSError as error:
            log.warning("compiled programs could not be read: %s", error)
        return self._found

    def send(self, programs: tuple[Program, ...]) -> ProgramSet:
        """Sees to it that the store has these, and says so for a manifest. Raises StoreError."""
        files = tuple(self._send(program) for program in programs)
        return ProgramSet(key=self._key.text, made_for=dict(self._key.parts), files=files)

    def _send(self, program: Program) -> ProgramFile:
        name = program_object(self._job_id, self._key.text, program.digest, program.name)
        if name not in self._sent:
            self._store.put(name, program.data)
            size = len(program.data)
            self._sent[name] = ProgramFile(name=program.name, size=size, crc32c=program.crc32c, object=name)
        return self._sent[name]

    def keep(self, programs: tuple[Program, ...]) -> None:
        """Keeps them on this machine, as a checkpoint that was made with them is committed: they work."""
        now = contents(programs)
        if now != self._kept:
            self._kept = now
            self._sets.give(self._key.text, programs)


def _fetched(entry: ProgramFile, fetch: Fetch) -> Program:
    try:
        data = fetch(entry.object)
    except StoreError as error:
        raise UnusableProgram(f"the compiled program cannot be read: {entry.name}: {error}") from error
    program = Program.of(entry.name, data)
    # A name is a file of the folder, and nothing else.
    if (len(data), program.crc32c) != (entry.size, entry.crc32c) or Path(entry.name).name != entry.name:
        raise UnusableProgram(f"the compiled program is damaged: {entry.name} has other bytes than its manifest says")
    return program
