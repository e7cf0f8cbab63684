"""Pulls data from the service into a folder. A second pull resumes an interrupted one: complete files are kept."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from baton.client.errors import DownloadError, LocalDataError, Unreachable
from baton.client.pushing.push import PATIENCE
from baton.client.pushing.threads import in_order
from baton.client.transport import Transport
from baton.domain.data_manifest import MAX_MANIFEST_BYTES, PACK_BYTES, DataFile, DataManifest, Piece
from baton.domain.data_reference import DataReference
from baton.domain.data_views import DataPage
from baton.domain.message_base import Message

AHEAD = 4
READ_SECONDS = 60.0
SHOWN = 20
Report = Callable[[str, int, int], object]
Plan = list[tuple[DataFile, list[Piece]]]


class DataPulled(Message):
    """What a pull wrote. `fetched_files`: files that the folder did not have. `fetched_bytes`: size of their packs."""

    name: str
    digest: str
    folder: str
    files: int
    bytes: int
    fetched_files: int
    fetched_bytes: int


def pull(
    transport: Transport,
    wanted: DataReference,
    folder: Path,
    report: Report | None = None,
) -> DataPulled:
    """Write a version of pushed data into a folder. Without a digest: the newest version. Every file is verified.

    Raises:
        LocalDataError: the folder has a file of the same name with other content, or the folder is not writable.
        DownloadError: the received bytes are wrong.
    """
    digest = wanted.digest or _newest(transport, wanted.name)
    manifest = DataManifest.decode(_fetch(transport, f"/v1/data/{wanted.name}/{digest}/manifest", MAX_MANIFEST_BYTES))
    if manifest.digest != digest:
        raise DownloadError(f"the manifest of {wanted.name} has another digest than {digest}: pull it again")
    try:
        plan = _lacking(manifest, folder)
        fetched = _write(transport, plan, folder, report or (lambda _what, _done, _total: None))
    except OSError as error:
        raise LocalDataError(f"{error.filename or folder} cannot be written: {error.strerror}") from error
    return DataPulled(
        name=wanted.name,
        digest=digest,
        folder=str(folder),
        files=len(manifest.files),
        bytes=manifest.bytes,
        fetched_files=len(plan),
        fetched_bytes=fetched,
    )


def _newest(transport: Transport, name: str) -> str:
    answer = transport.request("GET", f"/v1/data/{name}", params={"limit": 1}, patience=PATIENCE)
    return DataPage.model_validate_json(answer.content).items[0].digest


def _lacking(manifest: DataManifest, folder: Path) -> Plan:
    """The files to write. Raises LocalDataError if the folder has other files with their names."""
    plan, others = [], []
    for file, pieces in manifest.layout():
        target = folder / file.path
        if not os.path.lexists(target):
            plan.append((file, pieces))
        elif not target.is_file() or target.stat().st_size != file.size or _sha256(target) != file.sha256:
            others.append(file.path)
    if others:
        shown = "".join(f"\n  {one}" for one in others[:SHOWN])
        more = f"\n  and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        raise LocalDataError(f"{folder} has other files with these names:{shown}{more}\nChoose an empty folder.")
    return plan


def _write(transport: Transport, plan: Plan, folder: Path, report: Report) -> int:
    """Write the files. Return the bytes of the packs that were fetched."""
    total, done, fetched = sum(file.size for file, _ in plan), 0, 0
    needed = list(_in_turn(piece.pack for _, pieces in plan for piece in pieces))
    packs = in_order(needed, lambda sha256: (sha256, _pack(transport, sha256)), AHEAD)
    held, content = "", b""
    report("receiving", 0, total)
    folder.mkdir(parents=True, exist_ok=True)
    for file, pieces in plan:
        target = folder / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".baton-{os.getpid()}.part")
        try:
            digest = hashlib.sha256()
            with partial.open("wb") as out:
                for piece in pieces:
                    if piece.pack != held:
                        held, content = next(packs)
                        fetched += len(content)
                    part = memoryview(content)[piece.start : piece.end]
                    digest.update(part)
                    out.write(part)
                    done += len(part)
                    report("receiving", done, total)
            if digest.hexdigest() != file.sha256:
                raise DownloadError(f"{file.path} is damaged in the store: push the data again")
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
    return fetched


def _in_turn(packs: Iterator[str]) -> Iterator[str]:
    """The packs in the order in which they are needed. Equal packs in a row are one pack, which is fetched once."""
    last = ""
    for sha256 in packs:
        if sha256 != last:
            yield sha256
        last = sha256


def _pack(transport: Transport, sha256: str) -> bytes:
    for _ in range(2):
        content = _fetch(transport, f"/v1/packs/{sha256}", PACK_BYTES)
        if hashlib.sha256(content).hexdigest() == sha256:
            return content
    raise DownloadError(f"the pack {sha256} was received twice with wrong bytes: it is damaged in the store")


def _fetch(transport: Transport, path: str, limit: int) -> bytes:
    """The bytes of an answer. Tries again if the answer is cut off. Raises DownloadError above `limit` bytes."""
    tried = 0
    while True:
        tried += 1
        try:
            with transport.stream(path, wanted=_is_binary, timeout=READ_SECONDS) as answer:
                return _bounded(answer, path, limit)
        except Unreachable:
            if tried == PATIENCE.tries:
                raise
        time.sleep(PATIENCE.delay(tried, random.random()))  # noqa: S311  # jitter is no secret


def _bounded(answer: httpx.Response, path: str, limit: int) -> bytes:
    content = bytearray()
    for chunk in answer.iter_bytes():
        content += chunk
        if len(content) > limit:
            raise DownloadError(f"{path} has more than {limit} bytes")
    return bytes(content)


def _is_binary(answer: httpx.Response) -> bool:
    return str(answer.headers.get("Content-Type", "")).startswith("application/octet-stream")


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
