"""What ends a worker beside signals: a cloud's notice, and the end of its session."""

from __future__ import annotations

import os
import signal
from types import FrameType

from rq.exceptions import StopRequested

from worker.deadline import Deadline, watch_deadline
from worker.notice import Departure
from worker.notices import Choice, watch_notices
from worker.seat import Seat

# Ends the main thread's wait for work. Not SIGTERM: a machine that is taken sends that one too, and of two SIGTERMs the
# second means: at once, without saving.
WAKE = signal.SIGUSR1


def listen_for_the_end(seat: Seat, deadline: Deadline, notices: Choice) -> None:
    """Has threads watch; the main thread, which is to call this, is woken where it only waits for work."""

    def wake(_number: int, _frame: FrameType | None) -> None:
        if not seat.busy:
            raise StopRequested

    def leave(word: Departure) -> None:
        seat.leave(word)
        os.kill(os.getpid(), WAKE)

    def retire(why: str) -> None:
        seat.retire(why)
        os.kill(os.getpid(), WAKE)

    signal.signal(WAKE, wake)
    watch_deadline(deadline, retire)
    watch_notices(notices, leave)
