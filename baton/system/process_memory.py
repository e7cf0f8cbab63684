"""Protects the memory and the environment of a process, which contain secrets, from other processes of its user."""

from __future__ import annotations

import ctypes
import sys

PR_SET_DUMPABLE = 4


def hide_memory() -> None:
    """From now on other processes of the same user cannot read this process's memory and environment in /proc.

    They cannot attach a debugger either. It has no effect on root, who may read everything. A program that this process
    starts is not protected: the protection ends with exec. Linux only; no effect on other systems. Source: prctl(2),
    PR_SET_DUMPABLE.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
