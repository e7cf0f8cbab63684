"""Locks between processes of one machine."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_POLL_SECONDS = 0.2


@contextmanager
def held(file: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """One process at a time in this block. The kernel frees the lock of a process that dies; the file stays.

    `waiting` is called again and again while another has it; what it raises ends the wait.
    """
    with file.open("w") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                waiting()
                time.sleep(_POLL_SECONDS)
        yield


@contextmanager
def free(file: Path) -> Iterator[bool]:
    """Whether nobody holds this lock; if so, nobody can take it during the block."""
    try:
        handle = file.open("r")
    except FileNotFoundError:
        yield True
        return
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
