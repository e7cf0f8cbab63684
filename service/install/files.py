"""The files of GET /v1/install, made from one wheel: the wheel itself, its lock files, and the script."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from dataclasses import dataclass
from email.parser import Parser
from functools import lru_cache
from pathlib import Path

from baton.domain.errors import BatonError

SCRIPT = "worker.py"
SCRIPT_SOURCE = Path(__file__).with_name("worker.py")
PLACE = "RELEASE: dict[str, Any] = {}\n"
"""The line of the script that is replaced by the names and checksums of this service's files."""
DEVICES = ("cpu", "gpu")
LOCK = "baton/_programs/requirements/worker-{}.txt"
WHEEL_NAME = re.compile(r"baton_train-[A-Za-z0-9_.!+]+-py3-none-any\.whl")
HOW_TO_GET = (
    "`baton up --share` makes one; for another service build it in a checkout with `pip wheel --no-deps .`, set "
    "BATON_WHEEL to its path and start the service again; the container images have one"
)


class NoWheel(BatonError):
    """The service has no wheel to hand out. The message says how to get one."""

    code = "not-found"


@dataclass(frozen=True)
class InstallFile:
    """One file: its content, and its media type."""

    content: bytes
    media_type: str

    @property
    def sha256(self) -> str:
        """In hex."""
        return hashlib.sha256(self.content).hexdigest()


def install_files(setting: Path | None) -> dict[str, InstallFile]:
    """All files by name. `setting`: BATON_WHEEL, a wheel or a folder with exactly one of Baton's.

    Raises NoWheel.
    """
    path = _find(setting)
    return _read(path, path.stat().st_mtime_ns)


def _find(setting: Path | None) -> Path:
    if setting is None:
        raise NoWheel(f"this service has no wheel of Baton to hand out: {HOW_TO_GET}")
    found = [setting]
    if setting.is_dir():
        found = [one for one in setting.iterdir() if WHEEL_NAME.fullmatch(one.name)]
    if len(found) != 1 or not found[0].is_file() or not WHEEL_NAME.fullmatch(found[0].name):
        raise NoWheel(f"BATON_WHEEL ({setting.name}) is not exactly one wheel of Baton: {HOW_TO_GET}")
    return found[0]


@lru_cache(maxsize=2)
def _read(path: Path, _changed: int) -> dict[str, InstallFile]:
    """Reads the wheel again only after it has changed. Later requests are answered from memory (about 1 MB)."""
    content = path.read_bytes()
    files = {path.name: InstallFile(content, "application/octet-stream")}
    release: dict[str, object] = {"wheel": _named(path.name, files[path.name])}
    try:
        with zipfile.ZipFile(path) as archive:
            locks = {device: archive.read(LOCK.format(device)) for device in DEVICES}
            metadata = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            about = Parser().parsestr(archive.read(metadata).decode())
    except (zipfile.BadZipFile, KeyError, StopIteration) as error:
        raise NoWheel(f"{path.name} is not a complete wheel of Baton ({error}): {HOW_TO_GET}") from None
    for device, lock in locks.items():
        files[f"requirements-worker-{device}.txt"] = InstallFile(lock, "text/plain; charset=utf-8")
        release[device] = _named(f"requirements-worker-{device}.txt", files[f"requirements-worker-{device}.txt"])
    release["version"] = about["Version"]
    release["python"] = [[int(one) for one in text.split(".")] for text in _bounds(about["Requires-Python"])]
    files[SCRIPT] = InstallFile(_script(release), "text/x-python; charset=utf-8")
    return files


def _bounds(requires: str) -> tuple[str, str]:
    """The oldest supported version and the first unsupported newer one, from a text like `>=3.11,<3.14`."""
    found = dict(re.findall(r"(>=|<)\s*([0-9.]+)", requires))
    return found[">="], found["<"]


def _named(name: str, file: InstallFile) -> dict[str, str]:
    return {"name": name, "sha256": file.sha256}


def _script(release: dict[str, object]) -> bytes:
    text = SCRIPT_SOURCE.read_text()
    assert text.count(PLACE) == 1
    filled = json.dumps(release, indent=4, sort_keys=True)
    return text.replace(PLACE, f"RELEASE: dict[str, Any] = {filled}\n").encode()
