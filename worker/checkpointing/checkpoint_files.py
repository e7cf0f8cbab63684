"""Writes and reads the objects of a checkpoint. Every read verifies the checksums.

A checkpoint has several objects in the store and a row in the database. No transaction can include all of them, so the
order of the writes makes a checkpoint atomic:

1. The payload. The prefix contains the fencing token and the number of the save, so no other save writes these names.
2. The manifest, with the sizes and checksums of the payload. The write succeeds only if no manifest exists, so a
   manifest never changes. If the answer to a successful write was lost, the retry finds its own bytes and succeeds.
3. The commit at the service (`sender.py`). It contains the checksum of the manifest, and the service accepts it only
   with the current fencing token. After the commit the checkpoint exists.

The disadvantage: a worker that dies before its commit leaves objects that no row refers to. The service deletes them
after the attempt has ended. The advantage: no lock and no listing of the store is needed. A reader gets prefixes only
from the service, so it never sees an incomplete checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from baton.domain.errors import BatonError
from baton.domain.manifest import (
    CURSOR,
    FILES,
    FORMAT,
    MANIFEST,
    STATE,
    FileEntry,
    Manifest,
    ManifestHead,
    ProgramSet,
)
from baton.storage import ObjectAccess
from baton.storage.checksum import crc32c_of
from baton.storage.errors import AlreadyExists, Corrupted, NotFound
from worker.checkpointing.saved_folder import Download, SavedFolder, upload_folder
from worker.checkpointing.snapshot import Arrays, Snapshot


class CorruptCheckpoint(BatonError):
    """A checkpoint does not match its manifest, or has none. Use the checkpoint before it.

    `missing`: the store answered that there is no manifest of this checkpoint.
    """

    code = "corrupt-checkpoint"

    def __init__(self, prefix: str, what: str, *, missing: bool = False) -> None:
        self.prefix, self.missing = prefix, missing
        super().__init__(f"{prefix}: {what}")


class NewerCheckpoint(BatonError):
    """A checkpoint in a format that only a newer worker can read. It is not damaged."""

    code = "newer-checkpoint"


@dataclass(frozen=True)
class Writer:
    """The attempt that writes a checkpoint, and its environment."""

    job_id: str
    attempt_id: str
    fence: int
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Written:
    """A checkpoint whose objects are all in the store. It exists once the service has committed it."""

    prefix: str
    manifest_crc32c: str
    bytes: int


def write_checkpoint(
    store: ObjectAccess,
    prefix: str,
    snapshot: Snapshot,
    owner: Writer,
    programs: ProgramSet | None = None,
    rows_from: int | None = None,
    wanted: Callable[[], None] = lambda: None,
) -> Written:
    """Writes payload, then manifest. A retry writes the same bytes: even the time in them is that of the snapshot.

    `programs`: the autotuning results with which the checkpoint was made; they are already in the store. `rows_from`:
    see Manifest. `wanted`: called before each file of a program; raises if the checkpoint is not needed any more.

    Raises:
        StoreError: the store did not accept it.
    """
    if isinstance(snapshot.state, SavedFolder):
        files = upload_folder(snapshot.state, lambda name, path: _write(store, prefix, name, path), wanted)
    else:
        files = (_write(store, prefix, STATE, dump_arrays(snapshot.state)),)
    files = (*files, _write(store, prefix, CURSOR, _cursor(snapshot)))
    manifest = Manifest(
        job_id=owner.job_id,
        attempt_id=owner.attempt_id,
        fence=owner.fence,
        position=snapshot.position,
        files=files,
        environment=dict(owner.environment),
        created_at=snapshot.taken_at,
        programs=programs,
        rows_from=rows_from,
    )
    data = manifest.model_dump_json().encode()
    return Written(prefix, _write_manifest(store, prefix, data), len(data) + sum(f.size for f in files))


def dump_arrays(arrays: Arrays) -> bytes:
    """The arrays as a safetensors file."""
    from safetensors.numpy import save  # not at the top: a process that runs a program needs no NumPy

    return save(arrays)


def load_arrays(data: bytes) -> Arrays:
    """The arrays of a safetensors file. Raises ValueError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return load(data)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def _cursor(snapshot: Snapshot) -> bytes:
    """The cursor as JSON. The rows of a long history are already serialised; this only inserts them."""
    rest = json.dumps(snapshot.cursor).encode()
    if snapshot.history is None:
        return rest
    return b'{"history": ' + snapshot.history.json() + (b", " + rest[1:] if snapshot.cursor else b"}")


def _write(store: ObjectAccess, prefix: str, name: str, data: bytes | Path) -> FileEntry:
    stored = store.put(f"{prefix}/{name}", data)  # computes the checksum while it reads the data
    return FileEntry(name=name, size=stored.size, crc32c=stored.crc32c or crc32c_of(data))


def _write_manifest(store: ObjectAccess, prefix: str, data: bytes) -> str:
    try:
        store.put(f"{prefix}/{MANIFEST}", data, if_absent=True)
    except AlreadyExists:
        # If the bytes are equal, an earlier try succeeded and its answer was lost.
        if store.get(f"{prefix}/{MANIFEST}") != data:
            raise
    return crc32c_of(data)


def read_checkpoint(store: ObjectAccess, prefix: str, manifest_crc32c: str | None = None) -> tuple[Snapshot, Manifest]:
    """Reads a classifier's checkpoint into memory, and verifies all bytes. See CheckpointReader for the errors."""
    return CheckpointReader(store, prefix, manifest_crc32c).read()


class CheckpointReader:
    """Reads a checkpoint, and verifies all bytes: the files by the manifest, the manifest by the committed checksum.

    `folder`: the files of a program are downloaded into it; not needed for a classifier's checkpoint. After an error of
    the store, another call of `read` continues the downloads.
    """

    def __init__(
        self, store: ObjectAccess, prefix: str, manifest_crc32c: str | None = None, folder: Path | None = None
    ) -> None:
        self._store, self._prefix, self._crc32c, self._folder = store, prefix, manifest_crc32c, folder
        self._download: Download | None = None

    def read(self) -> tuple[Snapshot, Manifest]:
        """The checkpoint.

        Raises:
            CorruptCheckpoint: it is damaged or incomplete.
            NewerCheckpoint: a newer worker wrote it.
            StoreError: the store could not be read; the checkpoint may be good.
        """
        manifest = _manifest(self._store, self._prefix, self._crc32c)
        in_folder = [entry for entry in manifest.files if entry.name.startswith(f"{FILES}/")]
        data = {e.name: _read(self._store, self._prefix, e) for e in manifest.files if e not in in_folder}
        try:
            cursor = json.loads(data[CURSOR])
            state = self._files(in_folder) if self._folder else load_arrays(data[STATE])
        except (KeyError, ValueError) as error:
            raise CorruptCheckpoint(self._prefix, repr(error)) from error
        taken, rows_from = manifest.created_at, manifest.rows_from
        snapshot = Snapshot(manifest.position, state, cursor, taken_at=taken, rows_from=rows_from, prefix=self._prefix)
        return snapshot, manifest

    def _files(self, entries: list[FileEntry]) -> SavedFolder:
        assert self._folder is not None
        if self._download is None:
            self._download = Download(self._store, self._prefix, entries, self._folder)
        try:
            self._download.run()
        except (NotFound, Corrupted) as error:
            raise CorruptCheckpoint(self._prefix, str(error)) from error
        return SavedFolder(self._folder / FILES)


def _manifest(store: ObjectAccess, prefix: str, crc32c: str | None) -> Manifest:
    try:
        data = store.get(f"{prefix}/{MANIFEST}")
        if crc32c not in (None, crc32c_of(data)):
            raise CorruptCheckpoint(prefix, f"{MANIFEST} differs from the committed one")
        if (found := ManifestHead.model_validate_json(data).format) > FORMAT:
            raise NewerCheckpoint(f"{prefix}/{MANIFEST} has format {found}; this worker reads formats up to {FORMAT}")
        return Manifest.model_validate_json(data)
    except NotFound as error:
        raise CorruptCheckpoint(prefix, f"{MANIFEST}: {error}", missing=True) from error
    except (Corrupted, ValidationError) as error:
        raise CorruptCheckpoint(prefix, f"{MANIFEST}: {error}") from error


def _read(store: ObjectAccess, prefix: str, entry: FileEntry) -> bytes:
    try:
        data = store.get(f"{prefix}/{entry.name}")
    except (NotFound, Corrupted) as error:
        raise CorruptCheckpoint(prefix, f"{entry.name}: {error}") from error
    if len(data) != entry.size or crc32c_of(data) != entry.crc32c:
        raise CorruptCheckpoint(prefix, f"{entry.name} does not match its manifest")
    return data
