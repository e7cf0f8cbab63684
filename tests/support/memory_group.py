"""A control group with a limit of memory, so that the kernel kills a process for memory without danger to the machine.

Only root can make one, and not in every container. Where none can be made, a file stands for the kernel's counter.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from baton.system.cgroups import folders
from tests.support.gcs import until
from tests.support.programs.misbehaving import COUNTER

GROUP = "MEMORY_GROUP"


@dataclass(frozen=True)
class MemoryGroup:
    """`folder`: of the group; None: there is none, and `counter` is a file that a program changes instead."""

    folder: Path | None
    counter: Path

    @property
    def environment(self) -> dict[str, str]:
        """For tests.support.limited_worker, and for a program that is to be killed."""
        return {COUNTER: str(self.counter)} if self.folder is None else {GROUP: str(self.folder)}


@contextmanager
def memory_group(limit: int, folder: Path) -> Iterator[MemoryGroup]:
    """A new group below that of this process. `limit`: bytes. `folder`: for the file where no group can be made.

    All processes of the group must end before the block ends.
    """
    counter = folder / "memory.events"
    counter.write_text("oom_kill 0\n")
    made = _made(limit)
    try:
        yield MemoryGroup(made, counter)
    finally:
        if made is not None:
            until(lambda: _removed(made), 60, f"all processes of {made} to end")


def enter(group: Path) -> None:
    """Moves this process into the group. Its children begin there."""
    (group / "cgroup.procs").write_text(str(os.getpid()))


def _made(limit: int) -> Path | None:
    for version, own in folders("memory"):
        group = own / f"baton-test-{os.getpid()}"
        try:
            if version == 2:
                (own / "cgroup.subtree_control").write_text("+memory")
            group.mkdir()
        except OSError:
            return None  # the groups above it are not this process's own
        try:
            _limit(group, version, limit)
        except OSError:
            group.rmdir()
            return None
        return group
    return None


def _limit(group: Path, version: int, limit: int) -> None:
    (group / ("memory.max" if version == 2 else "memory.limit_in_bytes")).write_text(str(limit))
    with suppress(OSError):  # without swap in the kernel there is no such file
        if version == 2:
            (group / "memory.swap.max").write_text("0")
        else:
            (group / "memory.memsw.limit_in_bytes").write_text(str(limit))


def _removed(group: Path) -> bool:
    with suppress(OSError):
        group.rmdir()
    return not group.exists()
