"""Ties the life of a process to its parent: it is killed when the parent ends for any reason.

`python parent_death.py PARENT COMMAND...` executes COMMAND in the same process. It is run by its path and needs only
the standard library, so that it starts in a few milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """From now on this process is killed when its parent ends; at once if the parent has already ended.

    `parent`: its process id. Uses Linux's parent-death signal, which is sent when the thread that started this process
    ends: that thread must live as long as the process. On other systems there is no such signal: a process that needs
    this waits for the end of a pipe from its parent. Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - becoming the command is the point
