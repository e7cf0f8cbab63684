"""Kills a process when its parent ends for any reason.

`python parent_death.py PARENT COMMAND...` executes COMMAND in the same process; on systems other than Linux, in a child
that it watches. The script is run by its path and needs only the standard library, so that it starts in a few
milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1
LOOK_SECONDS = 1.0


def die_with_parent(parent: int) -> None:
    """From now on this process is killed when its parent ends; at once if the parent has already ended.

    `parent`: its process id. Uses Linux's parent-death signal, which is sent when the thread that started this process
    ends: that thread must live as long as the process. Other systems have no such signal. There a process that
    needs this waits for the end of a pipe from its parent. Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def run_watched(parent: int, command: Sequence[str]) -> int:
    """Runs the command, and kills it within a second after the end of the parent. Passes SIGTERM on.

    Returns the exit status of the command; if a signal ended it, 128 plus the signal's number, as shells do.
    """
    import subprocess  # imported here, because Linux does not need it, and the import is slow

    process = subprocess.Popen(command)
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    while True:
        try:
            status = process.wait(LOOK_SECONDS)
            return status if status >= 0 else 128 - status
        except subprocess.TimeoutExpired:
            if os.getppid() != parent:
                process.kill()


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    if sys.platform != "linux":
        sys.exit(run_watched(int(sys.argv[1]), sys.argv[2:]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - becoming the command is the point
