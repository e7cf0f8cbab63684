"""A lock for the calls of a run, which a signal handler cannot wait for."""

from __future__ import annotations

import threading

from baton.program.errors import ProgramError


class CallLock:
    """As `threading.Lock`, but a thread that has it already gets an error. With a plain lock it would wait for ever.

    A handler of a signal runs in the middle of whatever the main thread does, perhaps in the middle of another call.

    >>> lock = CallLock()
    >>> with lock, lock:
    ...     pass
    Traceback (most recent call last):
    ...
    baton.program.errors.ProgramError: the run was called in the middle of another call, for example by the handler of \
a signal: let the handler only set a variable, and call the run in the training loop
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._taken = False

    def __enter__(self) -> None:
        """Waits for other threads. Raises ProgramError if this thread has the lock."""
        self._lock.acquire()
        if self._taken:
            self._lock.release()
            raise ProgramError(
                "the run was called in the middle of another call, for example by the handler of a signal: let the "
                "handler only set a variable, and call the run in the training loop"
            )
        self._taken = True

    def __exit__(self, *_: object) -> None:
        """Lets another thread have it."""
        self._taken = False
        self._lock.release()
