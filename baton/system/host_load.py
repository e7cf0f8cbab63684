"""The load of this machine: CPUs and memory, from psutil if it is installed, otherwise from /proc."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from baton.system.cgroups import OWN, ROOT, folders, text_of

PROC = Path("/proc")
_LIMITS = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""By version of the control groups: the files with the limit and the use, and the part of the use that can be freed."""


class HostLoad(Protocol):
    """Reads the load of the machine. None: it is not known."""

    def cpu(self) -> float | None:
        """The percentage of all CPUs that was busy since the last call, or since the object was created."""
        ...

    def memory(self) -> tuple[int, int] | None:
        """The bytes of memory that are used, and all bytes."""
        ...


class PsutilLoad:
    """Reads the load with psutil."""

    def __init__(self) -> None:
        self._psutil: Any = import_module("psutil")
        self._psutil.cpu_percent(None)

    def cpu(self) -> float | None:
        """See HostLoad."""
        return float(self._psutil.cpu_percent(None))

    def memory(self) -> tuple[int, int] | None:
        """See HostLoad."""
        found = self._psutil.virtual_memory()
        return int(found.total - found.available), int(found.total)


class ProcLoad:
    """Reads the load from /proc: https://docs.kernel.org/filesystems/proc.html"""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._before = self._times()

    def cpu(self) -> float | None:
        """See HostLoad."""
        before, self._before = self._before, self._times()
        if before is None or self._before is None:
            return None
        busy, total = (now - then for now, then in zip(self._before, before, strict=True))
        return 100 * busy / total if total > 0 else None

    def _times(self) -> tuple[int, int] | None:
        """The busy and all ticks of all CPUs since the start of the machine."""
        fields = text_of(self._proc / "stat").partition("\n")[0].split()[1:9]  # without guests, which users include
        if len(fields) < 5:
            return None
        ticks = list(map(int, fields))
        idle = ticks[3] + ticks[4]  # idle, and idle while a disk works
        return sum(ticks) - idle, sum(ticks)

    def memory(self) -> tuple[int, int] | None:
        """See HostLoad."""
        lines = dict(line.split(":", 1) for line in text_of(self._proc / "meminfo").splitlines() if ":" in line)
        sizes = [lines.get(name, "").split() for name in ("MemTotal", "MemAvailable")]
        if not all(sizes):
            return None
        total, available = (int(size[0]) * 1024 for size in sizes)
        return total - available, total


def host_load() -> HostLoad:
    """The reader for this machine."""
    return PsutilLoad() if find_spec("psutil") else ProcLoad()


def container_memory(below: int, own: Path = OWN, root: Path = ROOT) -> tuple[int, int] | None:
    """The bytes that the container of this process uses, and its limit. None: no limit is below `below` bytes.

    Files that were read are cached in memory that the kernel can free; it does not count as used.
    """
    for version, folder in folders("memory", own, root):
        limit_file, use_file, cached = _LIMITS[version]
        limit, use = text_of(folder / limit_file).strip(), text_of(folder / use_file).strip()
        if limit.isdigit() and use.isdigit() and int(limit) < below:
            lines = (line.split() for line in text_of(folder / "memory.stat").splitlines())
            freeable = next((int(size) for name, size in lines if name == cached), 0)
            return max(0, int(use) - freeable), int(limit)
    return None
