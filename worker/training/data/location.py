"""Provides a data set's files in a directory: as given, unpacked from a zip, or downloaded and unpacked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from baton.domain.catalog import DATASETS
from baton.domain.downloads import Download
from baton.domain.spec import DatasetSpec
from baton.system.caches import megabytes
from baton.transfer import Wants, download_path, fetch
from worker.training.data.allowed_roots import check_path
from worker.training.data.archive import unpacked
from worker.training.data.listing import bad_data

Report = Callable[[str], None]
"""Called with a text about the progress several times a second; may raise to stop."""


def on_disk(
    spec: DatasetSpec, *, cache: Path, report: Report, source: Download | None = None, roots: Sequence[Path] = ()
) -> DatasetSpec:
    """The same data set with the path of a directory, if it has files.

    `source`: instead of the one in DATASETS. `roots`: the directories that may contain the path; none: any.

    Raises:
        JobFailure: bad_data, naming the file or the member; download_failed; disk_full; cache_unusable.
    """
    path = None if spec.path is None else Path(spec.path).expanduser().resolve()
    if spec.path is not None:
        check_path(Path(spec.path).expanduser(), roots)
    if spec.download and path is None:
        known = DATASETS[spec.name].download if spec.name in DATASETS else None
        path = _downloaded(spec, cache, report, source or known)
    elif path is None or path.suffix.lower() != ".zip" or path.is_dir():
        return spec
    folder = unpacked(path, cache=cache, progress=partial(_report_unpacking, report, path.name))
    return spec.model_copy(update={"path": str(folder), "download": False})


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
