"""Checks offline that requirements/*.txt match pyproject.toml. `make lock` writes these files."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {
    "dev": ("dev", "build"),
    "local": ("cpu", "embedded", "build"),
    "service": (),
    "worker-cpu": ("cpu",),
    "worker-gpu": ("gpu",),
    "build": ("build",),
}
WITHOUT_BATON = ("build",)
"""Locks that do not install Baton's own dependencies."""


@dataclass(frozen=True)
class Locked:
    """One package of a lock file."""

    name: str
    version: str
    hashed: bool


def read_lock(text: str) -> list[Locked]:
    """The packages of a lock file. A package may have several versions, for different versions of Python."""
    found = []
    for line in text.replace(" \\\n", " ").splitlines():
        if line and not line.lstrip().startswith("#"):
            stated, _, hashes = line.partition(" --hash=")
            requirement = Requirement(stated)
            version = str(requirement.specifier).removeprefix("==")
            found.append(Locked(canonicalize_name(requirement.name), version, hashes.startswith("sha256:")))
    return found


def direct_requirements(project: dict[str, object], extras: tuple[str, ...]) -> Iterator[Requirement]:
    """The requirements in pyproject.toml for these extras. An extra may include others as `baton-train[...]`."""
    optional = project["optional-dependencies"]
    assert isinstance(optional, dict)
    lines = [*project["dependencies"], *(line for extra in extras for line in optional[extra])]  # type: ignore[misc]  # tomllib returns untyped values
    for line in lines:
        requirement = Requirement(line)
        if requirement.name == project["name"]:
            yield from direct_requirements({**project, "dependencies": []}, tuple(requirement.extras))
        else:
            yield requirement


def _requirement_problems(lock: list[Locked], requirement: Requirement) -> Iterator[str]:
    versions = [p.version for p in lock if p.name == canonicalize_name(requirement.name)]
    if not versions:
        yield f"{requirement.name} is missing"
    for version in versions:
        if not requirement.specifier.contains(version):
            yield f"{requirement.name} is {version}, pyproject.toml requires {requirement.specifier}"


def _content_problems(text: str, lock: list[Locked]) -> Iterator[str]:
    yield from (f"{p.name} has no hash" for p in lock if not p.hashed)
    opencv = [p for p in lock if p.name.startswith("opencv")]
    if any(p.name != "opencv-python-headless" or not p.version.startswith("4.") for p in opencv) or len(opencv) > 1:
        yield "OpenCV must be only opencv-python-headless 4.x, because two builds would share one cv2 folder"
    if "://" in text:
        yield "it contains a URL; lock files must not"


def problems(project: dict[str, object], texts: dict[str, str]) -> Iterator[str]:
    """The problems of the lock files, by file name."""
    locks = {name: read_lock(text) for name, text in texts.items()}
    for name, extras in LOCKS.items():
        found = [*_content_problems(texts[name], locks[name])]
        own = {**project, "dependencies": []} if name in WITHOUT_BATON else project
        for requirement in direct_requirements(own, extras):
            found += _requirement_problems(locks[name], requirement)
        if name != "worker-gpu" and not set(locks[name]) <= set(locks["dev"]):
            found.append("it has packages or versions that dev.txt does not have, so tests would use other versions")
        yield from (f"requirements/{name}.txt: {problem}" for problem in found)


def main() -> int:
    """Exit status 1 with one line for each problem."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = {name: (ROOT / f"requirements/{name}.txt").read_text() for name in LOCKS}
    found = list(problems(project, texts))
    for line in found:
        print(line, file=sys.stderr)
    print("run `make lock` and commit the result" if found else "lock files match pyproject.toml")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
