"""What ends a worker beside signals: a cloud's notice, the end of its session, and that there is no work."""

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

# Ends the main thread's wait for work. Not SIGTERM: a machine that is taken sends that one too, and of two SIGTERMs the
# second means: at once, without saving.
WAKE = signal.SIGUSR1


@contextmanager
def woken_for_the_end(
    supervisor: Supervisor, deadline: Deadline, notices: Choice, idle: float = math.inf
) -> Iterator[Callable[[str], None]]:
    """Has threads watch; the main thread, in which this runs, is woken where it only waits for work.

    `idle`: seconds without an attempt after which the worker ends. Gives what retires the worker, for other threads
    that learn of a reason.
    """

    def wake(_number: int, _frame: FrameType | None) -> None:
        if not supervisor.busy:
            supervisor.end_wait()

    def leave(word: NoticeDetails) -> None:
        supervisor.leave(word)
        _wake_main_thread()

    def retire(why: str) -> None:
        supervisor.retire(why)
        _wake_main_thread()

    signal.signal(WAKE, wake)
    try:
        watch_deadline(deadline, retire)
        watch_idleness(idle, lambda: supervisor.idle, retire)
        watch_notices(notices, leave)
        yield retire
    finally:
        signal.signal(WAKE, signal.SIG_IGN)


def _wake_main_thread() -> None:
    main = threading.main_thread().ident
    if main is not None:
        signal.pthread_kill(main, WAKE)
