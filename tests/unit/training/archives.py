"""Makes zip files and unpacks them into a cache."""

import zipfile
from pathlib import Path
from typing import Any

import pytest

from baton.domain.errors import JobFailure
from worker.training.data.archive import unpacked
from worker.training.data.zip_checks import Limits


def zip_of(folder: Path, file: Path, top: str = "") -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(folder.rglob("*")):
            made.write(path, f"{top}{path.relative_to(folder)}")
    return file


def unpack(file: Path, cache: Path, limits: Limits | None = None, progress: Any = lambda _done, _total: None) -> Path:
    return unpacked(file, cache=cache, progress=progress, limits=limits or Limits())


def refused(file: Path, cache: Path, limits: Limits | None = None) -> str:
    with pytest.raises(JobFailure) as caught:
        unpack(file, cache, limits)
    assert caught.value.reason == "bad_data"
    assert set(left(cache)) == {".lock"}
    assert str(caught.value).startswith(f"{file}: ")
    return str(caught.value)


def left(cache: Path) -> list[str]:
    return sorted(entry.suffix for entry in (cache / "unpacked").iterdir())


def crafted(file: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members:
            made.writestr(name, content)
    return file
