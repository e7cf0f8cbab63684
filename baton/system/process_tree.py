"""All descendants of a process. They must end with this process."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

PS_SECONDS = 5.0


class ProcessTree:
    """The descendants of a process at the time of creation. `kill` also works after their parent has ended.

    On Linux it opens a pidfd of each process, so `kill` never kills another process that got a reused process id.
    """

    def __init__(self, pid: int) -> None:
        self.pids = tuple(descendants(pid))
        self._held: dict[int, int] = {}
        for one in self.pids:
            if hasattr(os, "pidfd_open"):
                with suppress(OSError):
                    self._held[one] = os.pidfd_open(one)

    def wait(self, seconds: float) -> bool:
        """Waits until all of them have ended, at most `seconds`. Returns whether they have; at once without pidfds."""
        give_up, running = time.monotonic() + seconds, set(self._held.values())
        while running and (left := give_up - time.monotonic()) > 0:
            ended, _, _ = select.select(running, [], [], left)
            running.difference_update(ended)
        return not running

    def kill(self) -> None:
        """Sends SIGKILL to each process that still runs. Call it once."""
        for pid in self.pids:
            with suppress(OSError):
                if pid in self._held:
                    signal.pidfd_send_signal(self._held[pid], signal.SIGKILL)
                elif not hasattr(os, "pidfd_open"):
                    os.kill(pid, signal.SIGKILL)
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()


def descendants(pid: int) -> list[int]:
    """The process ids of all children, their children, and so on."""
    children = defaultdict(list)
    for one, parent in _parents():
        children[parent].append(one)
    found, waiting = [], [pid]
    while waiting:
        fresh = children.pop(waiting.pop(), [])
        found += fresh
        waiting += fresh
    return found


def _parents() -> list[tuple[int, int]]:
    """The process id and the parent's process id of each process of the machine."""
    if Path("/proc/self/stat").exists():
        folders = [entry.name for entry in os.scandir("/proc") if entry.name.isdigit()]
        return [(int(name), parent) for name in folders if (parent := _parent(name)) is not None]
    try:
        command = ["ps", "-A", "-o", "pid=,ppid="]  # macOS
        done = subprocess.run(command, capture_output=True, text=True, timeout=PS_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    pairs = [line.split() for line in done.stdout.splitlines()]
    return [(int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2]


def _parent(name: str) -> int | None:
    try:
        # The program name, in brackets, may contain any character, so split at the last closing bracket.
        return int(Path(f"/proc/{name}/stat").read_text(errors="replace").rsplit(")", 1)[1].split()[1])
    except (OSError, ValueError, IndexError):
        return None  # the process has ended meanwhile
