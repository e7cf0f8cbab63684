"""Writes and reads the objects of a checkpoint. Every read verifies the checksums.

A checkpoint has several objects and a row in the database. Neither an object store nor the two together have a
transaction for that, so the order of the writes makes a checkpoint atomic:

1. The payload. The prefix contains the fencing token and the number of the save, so no other save writes these names.
2. The manifest, with the sizes and checksums of the payload, under the condition that it does not exist. A manifest
   therefore never changes. A retry whose earlier answer was lost finds its own bytes and succeeds.
3. The commit at the service (`sender.py`), which the service accepts only with the current fencing token and which
   contains the checksum of the manifest. From then on the checkpoint exists.

The price: a worker that dies before its commit leaves objects that no row refers to. The service deletes them after the
attempt has ended. In return no lock and no listing of the store is needed, and a reader, which only gets prefixes from
the service, never sees an incomplete checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as dump_arrays

from baton.domain.errors import BatonError
from baton.domain.manifest import (
    CURSOR,
    FORMAT,
    MANIFEST,
    STATE,
    FileEntry,
    Manifest,
    ManifestHead,
    ProgramSet,
)
from baton.storage import BlobStore
from baton.storage.checksum import crc32c_of
from baton.storage.errors import AlreadyExists, Corrupted, NotFound
from worker.checkpointing.snapshot import Snapshot


class CorruptCheckpoint(BatonError):
    """A checkpoint does not match its manifest, or has none. Use the checkpoint before it.

    `missing`: the store answered that it holds no manifest of this checkpoint.
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
    store: BlobStore,
    prefix: str,
    snapshot: Snapshot,
    owner: Writer,
    programs: ProgramSet | None = None,
    rows_from: int | None = None,
) -> Written:
    """Writes payload, then manifest. A retry writes the same bytes: also the time is that of the snapshot.

    `programs`: the autotuning results that it was made with; they are already in the store. `rows_from`: see Manifest.

    Raises:
        StoreError: the store did not accept it.
    """
    payload = {STATE: dump_arrays(snapshot.arrays), CURSOR: _cursor(snapshot)}
    files = tuple(_write(store, prefix, name, data) for name, data in payload.items())
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


def _cursor(snapshot: Snapshot) -> bytes:
    """The cursor as JSON. The rows of a long history are already serialised; this only inserts them."""
    rest = json.dumps(snapshot.cursor).encode()
    if snapshot.history is None:
        return rest
    return b'{"history": ' + snapshot.history.json() + (b", " + rest[1:] if snapshot.cursor else b"}")


def _write(store: BlobStore, prefix: str, name: str, data: bytes) -> FileEntry:
    store.put(f"{prefix}/{name}", data)
    return FileEntry(name=name, size=len(data), crc32c=crc32c_of(data))


def _write_manifest(store: BlobStore, prefix: str, data: bytes) -> str:
    try:
        store.put(f"{prefix}/{MANIFEST}", data, if_absent=True)
    except AlreadyExists:
        # If the bytes are equal, an earlier try succeeded and its answer was lost.
        if store.get(f"{prefix}/{MANIFEST}") != data:
            raise
    return crc32c_of(data)


def read_checkpoint(store: BlobStore, prefix: str, manifest_crc32c: str | None = None) -> tuple[Snapshot, Manifest]:
    """Reads a checkpoint and verifies all bytes: the files by the manifest, the manifest by the committed checksum.

    Raises:
        CorruptCheckpoint: it is damaged or incomplete.
        NewerCheckpoint: a newer worker wrote it.
        StoreError: the store could not be read; the checkpoint may be good.
    """
    manifest = _manifest(store, prefix, manifest_crc32c)
    data = {entry.name: _read(store, prefix, entry) for entry in manifest.files}
    try:
        arrays, cursor = load_arrays(data[STATE]), json.loads(data[CURSOR])
    except (KeyError, ValueError, SafetensorError) as error:
        raise CorruptCheckpoint(prefix, repr(error)) from error
    taken, rows_from = manifest.created_at, manifest.rows_from
    return Snapshot(manifest.position, arrays, cursor, taken_at=taken, rows_from=rows_from), manifest


def _manifest(store: BlobStore, prefix: str, crc32c: str | None) -> Manifest:
    try:
        data = store.get(f"{prefix}/{MANIFEST}")
        if crc32c not in (None, crc32c_of(data)):
            raise CorruptCheckpoint(prefix, f"{MANIFEST} is not the one that was committed")
        if (found := ManifestHead.model_validate_json(data).format) > FORMAT:
            raise NewerCheckpoint(f"{prefix}/{MANIFEST} has format {found}; this worker reads formats up to {FORMAT}")
        return Manifest.model_validate_json(data)
    except NotFound as error:
        raise CorruptCheckpoint(prefix, f"{MANIFEST}: {error}", missing=True) from error
    except (Corrupted, ValidationError) as error:
        raise CorruptCheckpoint(prefix, f"{MANIFEST}: {error}") from error


def _read(store: BlobStore, prefix: str, entry: FileEntry) -> bytes:
    try:
        data = store.get(f"{prefix}/{entry.name}")
    except (NotFound, Corrupted) as error:
        raise CorruptCheckpoint(prefix, f"{entry.name}: {error}") from error
    if len(data) != entry.size or crc32c_of(data) != entry.crc32c:
        raise CorruptCheckpoint(prefix, f"{entry.name} does not match its manifest")
    return data
