"""A forked process, such as one that loads data, has a copy of the run that it must not use."""

from __future__ import annotations

import os
import sys
import weakref
from typing import Protocol


class Forkable(Protocol):
    """What must know that it is now in a forked process."""

    def after_fork(self) -> None:
        """Called in the forked process, before anything else runs there."""


_known: weakref.WeakSet[Forkable] = weakref.WeakSet()


def tell_after_fork(one: Forkable) -> None:
    """Calls `one.after_fork()` in each process that is forked from this one, while `one` exists."""
    _known.add(one)


def child_hint() -> str:
    """What to do if `multiprocessing` started this process, which then may run the script again; else nothing."""
    started = sys.modules.get("multiprocessing.process")
    if started is None or started.parent_process() is None:
        return ""
    return (
        ". `multiprocessing` started this process: call baton.init() only in the process that trains, below "
        '`if __name__ == "__main__":`'
    )


def _in_child() -> None:
    for one in list(_known):
        one.after_fork()


os.register_at_fork(after_in_child=_in_child)
