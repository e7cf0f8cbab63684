"""Where a data set's files are: a directory as it is, a zip unpacked, or a zip downloaded and unpacked."""

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

Told = Callable[[str], None]
"""Told in words how far the work is, several times a second; may raise to stop."""


def on_disk(
    spec: DatasetSpec, *, cache: Path, told: Told, source: Download | None = None, roots: Sequence[Path] = ()
) -> DatasetSpec:
    """The same data set with the path of a directory, if it has files.

    `source`: instead of the one that DATASETS knows. `roots`: where the path may lie; none: anywhere.

    Raises:
        JobFailure: bad_data, naming the file or the member; download_failed; disk_full; cache_unusable.
    """
    path = None if spec.path is None else Path(spec.path).expanduser().resolve()
    if spec.path is not None:
        check_path(Path(spec.path).expanduser(), roots)
    if spec.download and path is None:
        path = _downloaded(spec, cache, told, source or _known_source(spec.name))
    elif path is None or path.suffix.lower() != ".zip" or path.is_dir():
        return spec
    folder = unpacked(path, cache=cache, progress=partial(_tell_unpacking, told, path.name))
    return spec.model_copy(update={"path": str(folder), "download": False})


def _known_source(name: str) -> Download | None:
    return DATASETS[name].download if name in DATASETS else None


def _downloaded(spec: DatasetSpec, cache: Path, told: Told, source: Download | None) -> Path:
    if source is None:
        bad_data(f"dataset.download: this worker knows no source of {spec.name}")
    wants = Wants(report=partial(_tell_download, told, source.file))
    return fetch(source, download_path(source, cache), wants)


def _tell_download(told: Told, name: str, done: int, total: int | None) -> None:
    told(f"downloading {name}: {megabytes(done)}" + (f" of {megabytes(total)}" if total else ""))


def _tell_unpacking(told: Told, name: str, done: int, total: int) -> None:
    # Another process of this machine unpacks: it alone knows how far it is.
    told(f"unpacking {name}: {done:,} of {total:,} files" if total else f"unpacking {name}, in another worker")
