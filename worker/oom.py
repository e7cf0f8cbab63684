"""Whether the kernel killed a process for want of memory: nobody else says so, its victim can not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

OWN_GROUPS, GROUPS, MACHINE = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"), Path("/proc/vmstat")
COUNT = "oom_kill "
LESS_MEMORY = "take a smaller batch_size or network.width, or a worker with more memory"


def counters(own: Path = OWN_GROUPS, root: Path = GROUPS, machine: Path = MACHINE) -> Iterator[Path]:
    """Where the kernel counts such kills, the narrowest first: this process's control group, then the machine.

    In a container the group's path may be that on the host; its files lie at the root then.
    """
    for line in _text(own).splitlines():
        number, names, path = line.split(":", 2)
        inside = path.strip("/")
        if number == "0" and not names:
            yield from (root / inside / "memory.events", root / "memory.events")
        elif "memory" in names.split(","):
            folder = root / "memory"
            yield from (folder / inside / "memory.oom_control", folder / "memory.oom_control")
    yield machine


class OomKills:
    """Notices kills since it was made."""

    def __init__(self, candidates: Iterator[Path] | None = None) -> None:
        found = ((path, _count(path)) for path in candidates or counters())
        known = [(path, count) for path, count in found if count is not None]
        self._counter: Path | None = known[0][0] if known else None
        self._before = known[0][1] if known else 0

    def any(self) -> bool:
        """Whether the kernel killed a process since; False where it does not tell."""
        now = _count(self._counter) if self._counter else None
        return now is not None and now > self._before


def _count(path: Path) -> int | None:
    found = [line for line in _text(path).splitlines() if line.startswith(COUNT)]
    return int(found[0].removeprefix(COUNT)) if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
