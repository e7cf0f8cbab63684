"""Fetches the dashboard's JavaScript libraries again: `python scripts/vendor.py [NAME@VERSION ...]`. Needs npm.

service/web/static/vendor/vendor.json has each package, its version, the registry's checksum and the used files. A
package is unpacked only if its checksum is correct. For a new version the script writes the new checksum into the
file; review it in the diff.
"""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "service/web/static/vendor"
LIST = FOLDER / "vendor.json"


def sha256(content: bytes) -> str:
    """In hex."""
    return hashlib.sha256(content).hexdigest()


def integrity(content: bytes) -> str:
    """The checksum in npm's format (subresource integrity)."""
    return f"sha512-{base64.b64encode(hashlib.sha512(content).digest()).decode()}"


def differences(packages: dict[str, Any], folder: Path = FOLDER) -> list[str]:
    """Files whose checksum differs from the list, and files that are not in the list."""
    named = {f"{name}/{file}": digest for name, one in packages.items() for file, digest in one["files"].items()}
    there = {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path != folder / LIST.name
    }
    return sorted(name for name in named.keys() | there.keys() if named.get(name) != there.get(name))


def _pack(name: str, version: str, folder: Path) -> bytes:
    command = ["npm", "pack", f"{name}@{version}", "--silent", "--pack-destination", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return next(folder.glob("*.tgz")).read_bytes()


def _take(name: str, one: dict[str, Any], archive: Path) -> None:
    with tarfile.open(archive) as tar:
        for file in one["files"]:
            member = tar.extractfile(f"package/{one['from'].get(file, file)}")
            if member is None:
                raise SystemExit(f"{name} has no file {file}")
            content = member.read()
            target = FOLDER / name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            one["files"][file] = sha256(content)


def _fetch(name: str, one: dict[str, Any], version: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        content = _pack(name, version, Path(folder))
        if one["integrity"] != integrity(content) and version == one["version"]:
            raise SystemExit(
                f"{name}@{version} has changed: its checksum is {integrity(content)}, not {one['integrity']}"
            )
        one["version"], one["integrity"] = version, integrity(content)
        _take(name, one, next(Path(folder).glob("*.tgz")))


def main(wanted: list[str]) -> int:
    """Fetch all packages. `wanted`: NAME@VERSION of packages that get a new version."""
    packages: dict[str, Any] = json.loads(LIST.read_text())
    versions = dict(one.rsplit("@", 1) for one in wanted)
    if versions.keys() - packages.keys():
        raise SystemExit(f"not in {LIST}: {', '.join(versions.keys() - packages.keys())}")
    for name, one in packages.items():
        _fetch(name, one, versions.get(name, one["version"]))
    LIST.write_text(json.dumps(packages, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
