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
"""Maximum wait for locks that are held briefly."""
WORK_SECONDS = 1800.0
"""Maximum wait without progress of the holder, for locks that are held during long work."""


class LockBusy(TimeoutError):
    """Another process holds a lock and makes no progress: it may be stopped, or it may hang."""


@contextmanager
def held(
    file: Path,
    waiting: Callable[[], None] = lambda: None,
    *,
    progress: Callable[[], object] = lambda: None,
    seconds: float = LOCK_SECONDS,
) -> Iterator[None]:
    """Holds a lock on `file` during the block. The kernel releases it if the process dies; the file remains.

    `waiting`: called every 0.2 s while another process holds the lock; if it raises, the wait ends. `progress`: returns
    a value that changes while the holder works. `seconds`: the longest wait without a change of that value.

    Raises:
        LockBusy: this time is over. It is an OSError.
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
    """Yields whether no process holds this lock. If so, no process can take it during the block."""
    try:
        handle = file.open("r")
    except FileNotFoundError:
        yield True
        return
    with handle:
        yield _taken(handle)
