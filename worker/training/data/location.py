"""Provides a data set's files in a directory: as given, fetched, unpacked from a zip, or downloaded and unpacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from baton.domain.catalog import DATASETS
from baton.domain.downloads import Download
from baton.domain.spec import DatasetSpec
from baton.system.caches import megabytes, need_room
from baton.transfer import Wants, download_path, fetch
from worker.training.data.allowed_roots import check_path
from worker.training.data.archive import Room, unpacked
from worker.training.data.failures import bad_data
from worker.training.data.remote import RemoteData, is_remote

Report = Callable[[str], None]
"""Called with a text about the progress several times a second; may raise to stop."""


def on_disk(
    spec: DatasetSpec,
    *,
    cache: Path,
    report: Report,
    source: Download | None = None,
    roots: Sequence[Path] = (),
    remote: RemoteData | None = None,
) -> DatasetSpec:
    """The same data set with the path of a directory, if it has files.

    `source`: replaces the data set's source in DATASETS. `roots`: the directories that may contain the path; none: any.
    `remote`: fetches pushed data and URLs; None: only pushed data that is in the cache can be used.

    Raises:
        JobFailure: bad_data, naming the file or the member; download_failed; disk_full; cache_unusable; and what
            `RemoteData.path` raises.
    """
    if is_remote(spec):
        return _remote(spec, remote or RemoteData(cache), report)
    path = None if spec.path is None else Path(spec.path).expanduser().resolve()
    if spec.path is not None:
        check_path(Path(spec.path).expanduser(), roots)
    if spec.download and path is None:
        known = DATASETS[spec.name].download if spec.name in DATASETS else None
        path = _downloaded(spec, cache, report, source or known)
    elif path is None or path.suffix.lower() != ".zip" or path.is_dir():
        return spec
    return _unpacked(spec, path, cache, report)


def _remote(spec: DatasetSpec, remote: RemoteData, report: Report) -> DatasetSpec:
    path = remote.path(spec, report)
    entry = remote.entry_of(path)
    if entry is None:
        return spec.model_copy(update={"path": str(path), "data": None})

    def room(_folder: Path, doing: str, needed: int) -> None:
        remote.make_room(path, doing, needed)

    return _unpacked(spec, path, entry, report, room)


def _unpacked(spec: DatasetSpec, archive: Path, cache: Path, report: Report, room: Room = need_room) -> DatasetSpec:
    progress = partial(_report_unpacking, report, archive.name)
    folder = unpacked(archive, cache=cache, progress=progress, room=room)
    return spec.model_copy(update={"path": str(folder), "data": None, "download": False})


def _downloaded(spec: DatasetSpec, cache: Path, report: Report, source: Download | None) -> Path:
    if source is None:
        bad_data(f"dataset.download: this worker has no download source for {spec.name}")
    wants = Wants(report=partial(_report_download, report, source.file))
    return fetch(source, download_path(source, cache), wants)


def _report_download(report: Report, name: str, done: int, total: int | None) -> None:
    report(f"downloading {name}: {megabytes(done)}" + (f" of {megabytes(total)}" if total else ""))


def _report_unpacking(report: Report, name: str, done: int, total: int) -> None:
    # total is 0 while another process of this machine unpacks.
    report(f"unpacking {name}: {done:,} of {total:,} files" if total else f"unpacking {name}, in another worker")
