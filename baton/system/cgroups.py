"""The folders of this process's control groups, which hold the limits of a container."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

OWN, ROOT = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")


def folders(controller: str, own: Path = OWN, root: Path = ROOT) -> Iterator[tuple[int, Path]]:
    """The version of the control groups (1 or 2) and a folder, the innermost group first, up to the root.

    In a container the group's path may be the path on the host. Then the group's files are at the root, and some of
    these folders do not exist.
    https://docs.kernel.org/admin-guide/cgroup-v2.html and .../cgroup-v1/cgroups.html
    """
    for line in text_of(own).splitlines():
        number, names, path = line.split(":", 2)
        if number == "0" and not names:
            yield from ((2, root / part) for part in _upwards(path))
        elif controller in names.split(","):
            # The kernel's name of the hierarchy, or the usual link to it.
            for name in dict.fromkeys((controller, names)):
                yield from ((1, root / name / part) for part in _upwards(path))


def _upwards(path: str) -> Iterator[str]:
    parts = [part for part in path.split("/") if part and part != ".."]
    for length in range(len(parts), -1, -1):
        yield "/".join(parts[:length])


def text_of(file: Path) -> str:
    """The file's content. Empty if it cannot be read."""
    try:
        return file.read_text()
    except OSError:
        return ""
