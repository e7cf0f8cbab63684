"""Ends a worker for reasons other than signals: a cloud's notice, the end of its session, or a lack of work."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from worker.preemption import Choice, watch_notices
from worker.preemption.deadline import Deadline, watch_deadline
from worker.preemption.notice import NoticeDetails
from worker.supervisor.idle import watch_idleness
from worker.supervisor.supervisor import Supervisor

# Ends the main thread's wait for work. SIGTERM is not used, because a preempted machine sends SIGTERM too, and a second
# SIGTERM ends the worker at once, without saving.
WAKE = signal.SIGUSR1


@contextmanager
def watch_for_end(
    supervisor: Supervisor, deadline: Deadline, notices: Choice, idle: float = math.inf
) -> Iterator[Callable[[str], None]]:
    """Starts the watching threads. Call it in the main thread: the threads wake the main thread if it waits for work.

    `idle`: seconds without an attempt after which the worker ends. Yields a function that retires the worker; other
    threads may call it.
    """

    def wake(_number: int, _frame: FrameType | None) -> None:
        if not supervisor.busy:
            supervisor.end_wait()

    def handle(details: NoticeDetails) -> None:
        supervisor.handle_notice(details)
        _wake_main_thread()

    def retire(why: str) -> None:
        supervisor.retire(why)
        _wake_main_thread()

    signal.signal(WAKE, wake)
    try:
        watch_deadline(deadline, retire)
        watch_idleness(idle, lambda: supervisor.idle, retire)
        watch_notices(notices, handle)
        yield retire
    finally:
        signal.signal(WAKE, signal.SIG_IGN)


def _wake_main_thread() -> None:
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, WAKE)
