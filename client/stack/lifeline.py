"""`python lifeline.py PARENT COMMAND...`: becomes COMMAND, which the kernel kills when its parent dies.

Run by path, with nothing but the standard library, so that it costs a few milliseconds. On systems without a
parent-death signal the child lives on when its parent is killed with -9.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def die_with(parent: int) -> None:
    """Asks for SIGKILL at the parent's death, and ends at once if it is dead already."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        sys.exit(1)


def main() -> None:
    """Never returns."""
    die_with(int(sys.argv[1]))
    os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606  # becoming the command is the point


if __name__ == "__main__":
    main()
