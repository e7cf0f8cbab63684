"""Fetches pushed data: the manifest, and the packs with the bytes of its files. Each pack and file is verified.

A killed fetch leaves its files. The next fetch compares them with the digests of the manifest and requests only the
packs that are missing. So no journal is needed, and bytes that were lost in a crash of the machine are fetched again.
"""

from __future__ import annotations

import hashlib
import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from baton.domain.data_manifest import DataManifest, InvalidManifest, manifest_object, pack_object
from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.storage import Corrupted, NotFound, ObjectAccess, StoreError
from baton.system.caches import writing
from worker.fetched.entries import Filling
from worker.fetched.store_reads import Reads
from worker.ipc.progress import advanced

_TRIES = 2
_HASH_BYTES = 1 << 20
FILE_OVERHEAD = 4096
"""The approximate space on disk that a file needs in addition to its content."""
_ADVICE = "push it again with `baton data push`: data that the store has is not sent again"
log = logging.getLogger(__name__)


class _Segment(NamedTuple):
    """Bytes [start, end) of a pack, at byte `at` of a file. `sha256`: the file's, if this is all of it, else empty."""

    path: Path
    at: int
    start: int
    end: int
    sha256: str


@dataclass
class _Unit:
    """One pack. `places`: where its bytes belong; more than one if a pack occurs twice."""

    sha256: str
    size: int
    places: list[list[_Segment]] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        """The number of bytes that the pack fills in files on the disk."""
        return self.size * len(self.places)

    @property
    def needed(self) -> int:
        """The number of bytes that the pack takes on the disk, with the metadata of its files."""
        return self.bytes + FILE_OVERHEAD * sum(segment.at == 0 for place in self.places for segment in place)


class PackFetch:
    """Fetches the data `digest` from the store into an entry."""

    def __init__(self, store: ObjectAccess, digest: str, filling: Filling) -> None:
        self._store, self._digest, self._filling = store, digest, filling
        self._meter, self._reads = filling.meter, Reads(filling.meter)

    def run(self) -> None:
        """Fetches and verifies all files.

        Raises:
            JobFailure: store_refused, naming the object that is missing or damaged; disk_full.
            StoreUnavailable: the store did not answer for STORE_SECONDS. The fetched bytes are kept.
        """
        self._filling.meter.say("reading its list of files")
        manifest = self._reads.in_thread(self._manifest)
        root = self._filling.folder / manifest.kind
        units, cut = _units(manifest, root)
        lacking = self._lacking(units, manifest.bytes) if root.is_dir() else units
        needed = sum(unit.needed for unit in lacking)
        self._filling.make_room(needed)
        self._meter.begin("fetching", manifest.bytes - sum(unit.bytes for unit in lacking), manifest.bytes)
        with writing(self._filling.folder, f"fetching {self._filling.what}", needed):
            _lay_out(manifest, root)
            self._reads.each(self._fetch, lacking)
            self._meter.begin("checking", 0, sum(size for _, size, _ in cut))
            self._reads.each(self._check, cut)
            self._filling.seal(root, [file.path for file in manifest.files])

    def _manifest(self) -> DataManifest:
        name = manifest_object(self._digest)
        try:
            manifest = DataManifest.decode(self._reads.patiently(lambda: self._store.get(name)))
        except NotFound as error:
            raise self._refused(f"its list of files {name} is not in the store") from error
        except (InvalidManifest, Corrupted) as error:
            raise self._refused(f"its list of files {name} in the store is damaged ({error})") from error
        if manifest.digest != self._digest:
            raise self._refused(f"its list of files {name} in the store belongs to other data")
        return manifest

    def _lacking(self, units: list[_Unit], total: int) -> list[_Unit]:
        """The packs that are not yet complete on the disk."""
        self._meter.begin("checking", 0, total)
        lacking: list[_Unit] = []

        def check(unit: _Unit) -> None:
            self._reads.check()
            if not all(_there(unit, place) for place in unit.places):
                lacking.append(unit)
            self._meter.add(unit.bytes)

        self._reads.each(check, units)
        if kept := len(units) - len(lacking):
            log.info("%s: an earlier try fetched %d of %d packs", self._filling.what, kept, len(units))
        return lacking

    def _fetch(self, unit: _Unit) -> None:
        """Reads a pack, verifies it, and writes its bytes into the files."""
        for _ in range(_TRIES):
            content = self._reads.patiently(lambda: self._read(unit))
            if hashlib.sha256(content).hexdigest() == unit.sha256:
                break
            log.warning("the fetched bytes of pack %s have another checksum", unit.sha256)
            self._meter.add(-len(content))
        else:
            raise self._refused(f"its pack {pack_object(unit.sha256)} in the store is damaged")
        self._reads.check()
        view = memoryview(content)
        for place in unit.places:
            for segment in place:
                part = view[segment.start : segment.end]
                if segment.sha256 and hashlib.sha256(part).hexdigest() != segment.sha256:
                    raise self._contradiction(segment.path)
                _write(segment, part)
        self._meter.add(unit.bytes - unit.size)

    def _read(self, unit: _Unit) -> bytearray:
        """The content of a pack in the store. Stops at most one chunk after the expected size."""
        content = bytearray()
        try:
            for chunk in self._store.open(pack_object(unit.sha256)):
                self._reads.check()
                content += chunk
                self._meter.add(len(chunk))
                if len(content) > unit.size:
                    break
        except Corrupted:
            return content + b"?"  # with one more byte the checksum differs, so the pack counts as damaged
        except NotFound as error:
            raise self._refused(f"its pack {pack_object(unit.sha256)} is not in the store") from error
        except StoreError:
            self._meter.add(-len(content))
            raise
        return content

    def _check(self, file: tuple[Path, int, str]) -> None:
        """Compares a file that came in several packs with its digest."""
        path, _, sha256 = file
        digest = hashlib.sha256()
        with path.open("rb") as content:
            while chunk := content.read(_HASH_BYTES):
                self._reads.check()
                digest.update(chunk)
                self._meter.add(len(chunk))
        if digest.hexdigest() != sha256:
            path.unlink()  # if the disk changed it, the next fetch requests it again
            raise self._contradiction(path)

    def _contradiction(self, path: Path) -> JobFailure:
        return self._refused(f"its list of files does not fit its packs, at {path.name!r}")

    def _refused(self, why: str) -> JobFailure:
        return JobFailure(Reason.STORE_REFUSED, f"dataset.data: {self._filling.what}: {why}; {_ADVICE}")


def _units(manifest: DataManifest, root: Path) -> tuple[list[_Unit], list[tuple[Path, int, str]]]:
    """The packs with the places of their bytes, and the files (path, bytes, SHA-256) that are in several packs."""
    sizes = {pack.sha256: pack.size for pack in manifest.packs}
    units = {sha256: _Unit(sha256, size) for sha256, size in sizes.items()}
    cut = []
    for file, pieces in manifest.layout():
        path, at = root / file.path, 0
        for piece in pieces:
            unit = units[piece.pack]
            if piece.start == 0:
                unit.places.append([])
            whole = file.sha256 if len(pieces) == 1 else ""
            unit.places[-1].append(_Segment(path, at, piece.start, piece.end, whole))
            at += piece.end - piece.start
        if len(pieces) > 1:
            cut.append((path, file.size, file.sha256))
    return list(units.values()), cut


def _lay_out(manifest: DataManifest, root: Path) -> None:
    """Creates the folders, and the files without content."""
    root.mkdir(exist_ok=True)
    made: set[Path] = {root}
    for count, file in enumerate(manifest.files):
        path = root / file.path
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        if file.size == 0:
            path.write_bytes(b"")
        if count % 1000 == 0:
            advanced()


def _there(unit: _Unit, place: list[_Segment]) -> bool:
    """Whether the files already contain the bytes of the pack."""
    digest = hashlib.sha256()
    try:
        for content in map(_kept, place):
            digest.update(content)
    except OSError:
        return False
    return digest.hexdigest() == unit.sha256


def _kept(segment: _Segment) -> bytes:
    with segment.path.open("rb", buffering=0) as file:
        if segment.sha256 and os.fstat(file.fileno()).st_size != segment.end - segment.start:
            raise FileNotFoundError(segment.path)
        return os.pread(file.fileno(), segment.end - segment.start, segment.at)


def _write(segment: _Segment, content: memoryview) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if segment.sha256 else 0)
    descriptor, at = os.open(segment.path, flags, 0o644), segment.at
    try:
        while content:
            written = os.pwrite(descriptor, content, at)
            content, at = content[written:], at + written
    finally:
        os.close(descriptor)
