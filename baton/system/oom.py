"""Detects kills by the kernel's out-of-memory killer, which only the kernel's counters show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from baton.system.cgroups import OWN, ROOT, folders, text_of

MACHINE = Path("/proc/vmstat")
COUNT = "oom_kill "


def counters(own: Path = OWN, root: Path = ROOT, machine: Path = MACHINE) -> Iterator[Path]:
    """The files with the kernel's counters, most specific first: this process's control groups, then the machine."""
    names = {1: "memory.oom_control", 2: "memory.events"}
    yield from (folder / names[version] for version, folder in folders("memory", own, root))
    yield machine


class OomKills:
    """Detects kills since this object was created."""

    def __init__(self, candidates: Iterator[Path] | None = None) -> None:
        found = ((path, _count(path)) for path in candidates or counters())
        known = [(path, count) for path, count in found if count is not None]
        self._counter: Path | None = known[0][0] if known else None
        self._before = known[0][1] if known else 0

    def any(self) -> bool:
        """Whether the kernel killed a process since this object was created; False if the system has no counter."""
        now = _count(self._counter) if self._counter else None
        return now is not None and now > self._before


def _count(path: Path) -> int | None:
    found = [line for line in text_of(path).splitlines() if line.startswith(COUNT)]
    return int(found[0].removeprefix(COUNT)) if found else None
