"""Moves the autotuning results of one attempt: from a checkpoint to the folder, and from the folder to the store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from baton.domain.manifest import ProgramFile, ProgramSet, program_object
from baton.domain.spec import JobSpec
from baton.storage import ObjectAccess
from baton.storage.errors import AlreadyExists, StoreError
from worker.autotuning.folder import FILE, Folder, Results, open_folder
from worker.autotuning.key import AutotuningKey
from worker.autotuning.machine_cache import LocalCache

Fetch = Callable[[str], bytes]
NOT_COMPILED = "the steps are not compiled (BATON_XLA=off), so TensorFlow chooses kernels again in each process"
NOT_WRITTEN = "XLA wrote no autotuning results to the file in XLA_FLAGS"
NONE_CARRIED = "the checkpoint has no autotuning results"
log = logging.getLogger(__name__)


class UnusableResults(Exception):
    """The results of a checkpoint cannot be used here. The message says why."""


class OtherMachine(UnusableResults):
    """The results were made on another kind of machine, or for another spec."""


@dataclass(frozen=True)
class Compiler:
    """The autotuning settings of a training process on a GPU.

    `machine`: what the choice of kernels depends on in addition to the spec. `folder`: None if no results can be kept;
    then `lacking` is the reason.
    """

    machine: Mapping[str, str]
    cache: Path
    folder: Folder | None
    lacking: str = ""

    @classmethod
    def open(cls, machine: Mapping[str, str], cache: Path, *, compiled: bool) -> Compiler:
        """Opens the folder. `compiled`: whether XLA compiles the steps."""
        if not compiled:
            return cls(machine, cache, None, NOT_COMPILED)
        try:
            return cls(machine, cache, open_folder(cache))
        except OSError as error:
            log.warning("cannot keep autotuning results: %s", error)
            return cls(machine, cache, None, f"the cache of the worker cannot hold autotuning results: {error}")

    def transfer(self, store: ObjectAccess, job_id: str, spec: JobSpec) -> ResultsTransfer:
        """The transfer of one attempt."""
        return ResultsTransfer(self, store, job_id, spec)

    def close(self) -> None:
        """Removes the folder."""
        if self.folder:
            self.folder.close()


class ResultsTransfer:
    """Call `begin` or `restore` before the first compilation, `check` after it, and `found` at each save.

    `needed`: whether the kernels depend on the results. With `deterministic: true` XLA does no autotuning.
    """

    def __init__(self, compiler: Compiler, store: ObjectAccess, job_id: str, spec: JobSpec) -> None:
        self.needed = spec.deterministic is not True
        self._folder, self._lacking = compiler.folder, compiler.lacking
        self._store, self._job_id, self._key = store, job_id, AutotuningKey.of(spec, compiler.machine)
        self._sets = LocalCache(compiler.cache / "autotuning" / "sets")
        self._begun: Results | None = None
        self._offered: Results | None = None
        self._found: Results | None = None
        self._checked = self._lost = False
        self._sent: dict[str, ProgramFile] = {}

    def begin(self, *, afresh: bool = False) -> None:
        """Starts with the results of this machine. `afresh`: removes them first, because they may cause failures."""
        if self._folder is None:
            return
        if afresh:
            self._sets.forget(self._key.text)
        results = self._sets.take(self._key.text)
        if self._fill(self._folder, results):
            self._begun = self._offered = results

    def restore(self, carried: ProgramSet | None, fetch: Fetch) -> None:
        """Starts with the results of a checkpoint, and without those of this machine.

        Raises:
            UnusableResults: they cannot be used; then call `begin`.
        """
        if carried is None:
            raise UnusableResults(NONE_CARRIED)
        if carried.key != self._key.text:
            raise OtherMachine(f"the autotuning results are of another {self._key.differences(carried.made_for)}")
        # Other files are compiled programs from earlier releases of Baton. They are not executed.
        entry = next((one for one in carried.files if one.name == FILE), None)
        if entry is None:
            raise UnusableResults(NONE_CARRIED)
        if self._folder is None:
            raise UnusableResults(f"the autotuning results are not used: {self._lacking}")
        if not self._fill(self._folder, _fetched(entry, fetch)):
            raise UnusableResults("the autotuning results could not be written to the disk of this machine")
        self._sent = {entry.object: entry}

    def _fill(self, folder: Folder, results: Results | None) -> bool:
        try:
            if results:
                folder.put(results.data)
            folder.announce()
        except OSError as error:
            log.warning("autotuning results could not be written: %s", error)
            folder.empty()
            return False
        self._found = results
        return True

    def check(self) -> str | None:
        """Why a later resume may not be exact; None if there is no reason. Call it after the first step.

        Only the first call checks, so it may be called after each step.
        """
        if self._checked:
            return None
        self._checked = True
        self._lost = self._folder is None or not self._folder.written()
        return (self._lacking or NOT_WRITTEN) if self._lost and self.needed else None

    def found(self) -> Results | None:
        """The results of this process up to now. Call it in the thread that compiles."""
        if self._folder is None or self._lost:
            return None  # this process does not use the results of the checkpoint, if there are any
        try:
            self._found = self._folder.found() or self._found
        except OSError as error:
            log.warning("autotuning results could not be read: %s", error)
        return self._found

    def send(self, results: Results | None) -> ProgramSet:
        """Stores the results, and returns their description for a manifest. Raises StoreError."""
        files = (self._send(results),) if results else ()
        return ProgramSet(key=self._key.text, made_for=dict(self._key.parts), files=files)

    def _send(self, results: Results) -> ProgramFile:
        name = program_object(self._job_id, self._key.text, results.digest, FILE)
        if name not in self._sent:
            # The name contains the digest, so an existing object has the same content. The service refuses to replace
            # an object of another attempt.
            with suppress(AlreadyExists):
                self._store.put(name, results.data)
            self._sent[name] = ProgramFile(name=FILE, size=len(results.data), crc32c=results.crc32c, object=name)
        return self._sent[name]

    def keep(self, results: Results | None) -> None:
        """Keeps the results on this machine. They work, because a checkpoint was made with them."""
        if results and results != self._offered:
            self._offered = results
            if self._sets.give(self._key.text, results, self._begun):
                self._begun = results


def _fetched(entry: ProgramFile, fetch: Fetch) -> Results:
    try:
        results = Results.of(fetch(entry.object))
    except StoreError as error:
        raise UnusableResults(f"the autotuning results cannot be read: {error}") from error
    if (len(results.data), results.crc32c) != (entry.size, entry.crc32c):
        raise UnusableResults("the autotuning results are damaged: they do not match the manifest")
    return results
