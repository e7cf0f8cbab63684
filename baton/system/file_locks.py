"""Locks between processes of one machine."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

_POLL_SECONDS = 0.2
LOCK_SECONDS = 10.0
"""Maximum wait in seconds for locks that are held briefly."""
WORK_SECONDS = 1800.0
"""Maximum wait in seconds without progress of the holder, for locks that are held during long work."""


class LockBusy(TimeoutError):
    """Another process holds a lock and makes no progress: the process may be stopped, or it may hang."""


@contextmanager
def held(
    file: Path,
    waiting: Callable[[], None] = lambda: None,
    *,
    progress: Callable[[], object] = lambda: None,
    seconds: float = LOCK_SECONDS,
) -> Iterator[None]:
    """Holds a lock on `file` during the block. The kernel releases the lock if the process dies; the file remains.

    `waiting`: called every 0.2 s while another process holds the lock; if it raises, the wait ends. `progress`: returns
    a value that changes while the holder works. `seconds`: the longest wait without a change of that value.

    Raises:
        LockBusy: the lock was not free after this wait. It is an OSError.
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


@contextmanager
def shared(file: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds a shared lock on `file` during the block: others can share it, and `free` yields False.

    `waiting`: called every 0.2 s while another process holds the lock alone; if it raises, the wait ends.

    Raises:
        LockBusy: another process held the lock alone for LOCK_SECONDS. It is an OSError.
    """
    # Opened only for reading: the file may belong to a worker of another user.
    descriptor = os.open(file, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    with os.fdopen(descriptor) as handle:
        until = time.monotonic() + LOCK_SECONDS
        while not _taken(handle, fcntl.LOCK_SH):
            waiting()
            if time.monotonic() > until:
                text = f"another process has held {file} for {LOCK_SECONDS:.0f} s"
                raise LockBusy(errno.ETIMEDOUT, f"{text}; end it, or continue it if it is stopped")
            time.sleep(_POLL_SECONDS)
        yield


def _taken(handle: TextIO, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def free(file: Path) -> Iterator[bool]:
    """Yields True if no process holds this lock. Then no process can take it during the block."""
    try:
        handle = file.open("r")
    except FileNotFoundError:
        yield True
        return
    with handle:
        yield _taken(handle)
