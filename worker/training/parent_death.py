"""A helper process must not outlive the process it works for, even if that one is killed with SIGKILL."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """From now on the kernel kills this process when its parent ends (Linux); at once if `parent` is gone already.

    `parent`: the process id of who started this one. The kernel looks at the thread that started it: that thread has to
    live as long as the helper is wanted.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
