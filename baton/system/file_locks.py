"""Locks between processes of one machine."""

from __future__ import annotations

import errno
import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_POLL_SECONDS = 0.2
LOCK_SECONDS = 10.0
"""For locks that are held for moments."""
WORK_SECONDS = 1800.0
"""For locks that are held during a long work: the time without any progress of the holder."""


class LockBusy(TimeoutError):
    """Another process holds a lock and does not release it: it may be stopped, or it may hang."""


def _no_progress() -> object:
    return None


@contextmanager
def held(
    file: Path,
    waiting: Callable[[], None] = lambda: None,
    *,
    progress: Callable[[], object] = _no_progress,
    seconds: float = LOCK_SECONDS,
) -> Iterator[None]:
    """One process at a time in this block. The kernel frees the lock of a process that dies; the file stays.

    `waiting` is called again and again while another has it; what it raises ends the wait. `progress`: a value that
    changes while the holder works. `seconds`: the longest wait without a change of it.

    Raises:
        LockBusy: that time is up. An OSError.
    """
    with file.open("w") as handle:
        seen, since = progress(), time.monotonic()
        while not _taken(handle):
            waiting()
            if (now := progress()) != seen:
                seen, since = now, time.monotonic()
            elif time.monotonic() - since > seconds:
                text = f"another process holds {file} and has made no progress for {seconds:.0f} s"
                raise LockBusy(errno.ETIMEDOUT, f"{text}; end it, or continue it if it is stopped")
            time.sleep(_POLL_SECONDS)
        yield


def _taken(handle: TextIO) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def free(file: Path) -> Iterator[bool]:
    """Whether nobody holds this lock; if so, nobody can take it during the block."""
    try:
        handle = file.open("r")
    except FileNotFoundError:
        yield True
        return
    with handle:
        yield _taken(handle)
