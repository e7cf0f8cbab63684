"""The wheel of the running Baton, for machines that become its workers.

In a checkout the wheel is built. An installation has no wheel any more, so one is packed from the installed files.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import os
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from baton.local.errors import StackError
from baton.local.programs import programs_folder

DISTRIBUTION = "baton-train"
BUILD_SECONDS = 300
NOT_PACKED = ("INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json")
"""Files of a .dist-info folder that an installer writes."""
EPOCH = (1980, 1, 1, 0, 0, 0)


def own_wheel(folder: Path) -> Path:
    """The wheel of this Baton, in a subfolder of `folder` with a digest as its name. It is made if it is missing.

    Raises:
        StackError: the wheel cannot be made.
    """
    try:
        checkout = programs_folder()
        if is_checkout(checkout):
            return _built(checkout, folder)
        return _packed(distribution(DISTRIBUTION), folder)
    except (OSError, PackageNotFoundError) as error:
        raise StackError(
            f"cannot make the wheel that workers install: {error}; set BATON_WHEEL to a wheel of Baton"
        ) from error


def is_checkout(folder: Path) -> bool:
    """Whether the folder is the root of Baton's sources."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text())
    except (OSError, tomllib.TOMLDecodeError):
        return False
    return bool(project.get("project", {}).get("name") == DISTRIBUTION)


def _built(checkout: Path, folder: Path) -> Path:
    sources = sorted(_sources(checkout))
    place = folder / _digest((name, (checkout / name).read_bytes()) for name in sources)
    if found := _wheel_in(place):
        return found
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(place)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False)
    if done.returncode:
        raise StackError(
            f"cannot build the wheel that workers install; {' '.join(command)} says:\n{done.stderr.strip()[-2000:]}\n"
            "Install hatchling, or set BATON_WHEEL to a wheel of Baton."
        )
    found = _wheel_in(place)
    assert found is not None
    return found


def _sources(checkout: Path) -> Iterator[str]:
    """The files on which the content of the wheel depends."""
    wheel = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    yield from (name for name in ("pyproject.toml", "README.md", "LICENSE") if (checkout / name).is_file())
    for entry in wheel["include"]:
        path = checkout / entry.strip("/")
        files = path.rglob("*") if path.is_dir() else iter([path])
        yield from (str(one.relative_to(checkout)) for one in files if one.is_file() and "__pycache__" not in one.parts)


def _packed(installed: Distribution, folder: Path) -> Path:
    """A wheel with the files of an installation."""
    contents = dict(_installed_files(installed))
    record = next(name for name in contents if name.endswith(".dist-info/METADATA")).replace("METADATA", "RECORD")
    place = folder / _digest(contents.items())
    if found := _wheel_in(place):
        return found
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    contents[record] = _record(contents, record)
    final = place / f"{DISTRIBUTION.replace('-', '_')}-{installed.version}-py3-none-any.whl"
    partial = final.with_name(f".{final.name}.{os.getpid()}")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)
    partial.replace(final)
    return final


def _installed_files(installed: Distribution) -> Iterator[tuple[str, bytes]]:
    for file in sorted(installed.files or (), key=str):
        parts = file.parts
        written_by_installer = parts[0].endswith(".dist-info") and parts[-1] in NOT_PACKED
        if ".." not in parts and "__pycache__" not in parts and not written_by_installer:
            yield file.as_posix(), Path(str(file.locate())).read_bytes()


def _record(contents: dict[str, bytes], own_name: str) -> bytes:
    """The list of files with their checksums, in the form that the wheel format requires."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for name, content in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.writerow((name, f"sha256={digest}", len(content)))
    rows.writerow((own_name, "", ""))
    return text.getvalue().encode()


def _wheel_in(place: Path) -> Path | None:
    return next(iter(sorted(place.glob("*.whl"))), None)


def _digest(files: Iterable[tuple[str, bytes]]) -> str:
    total = hashlib.sha256()
    for name, content in files:
        total.update(f"{name}\0{len(content)}\0".encode())
        total.update(content)
    return total.hexdigest()[:16]
