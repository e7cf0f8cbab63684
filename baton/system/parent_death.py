"""A process that never outlives its parent, however the parent ends.

`python lifeline.py PARENT COMMAND...` becomes COMMAND; run by path, with nothing but the standard library, it costs a
few milliseconds.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """From now on this process is killed when its parent ends; at once if `parent`, a process id, is gone already.

    Linux's parent-death signal where there is one: it looks at the thread that started this process, which has to live
    as long as the process is wanted. Elsewhere a process that needs this watches for the end of a pipe from its parent.
    Source: prctl(2), PR_SET_PDEATHSIG.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    die_with_parent(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - becoming the command is the point
