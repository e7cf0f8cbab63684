"""Why and when an attempt must end before its job is finished."""

from __future__ import annotations

import math
import time

from baton.domain.wire import Directive
from worker.attempt.lease import Lease
from worker.attempt.protocols import Stop
from worker.preemption.deadline import Pace
from worker.preemption.notice import Notice

END_SECONDS = 3.0
"""The part of the grace time for the end of the attempt, in addition to the upload of the last save."""
_DIRECTIVES = {Directive.PAUSE: Stop.PAUSED, Directive.CANCEL: Stop.CANCELLED}


class Stops:
    """The stops of one attempt. `runtime_left`: seconds until a limit of the job is reached; None: no limit."""

    def __init__(self, lease: Lease, notice: Notice, pace: Pace, runtime_left: float | None) -> None:
        self._lease, self._notice, self._pace = lease, notice, pace
        self._runtime_ends = math.inf if runtime_left is None else time.monotonic() + runtime_left

    def wanted(self) -> Stop | None:
        """The most urgent stop: a cancellation (needs no save), else a preemption (has little time), else any other."""
        wanted = _DIRECTIVES.get(self._lease.directive)
        if wanted is Stop.CANCELLED:
            return wanted
        if self._pace.over:
            self._notice.give(self._pace.cause, self._pace.left, source="deadline")
        if self._notice.given:
            return Stop.PREEMPTED
        return Stop.MAX_RUNTIME if wanted is None and time.monotonic() >= self._runtime_ends else wanted

    def seconds_to_save(self, stop: Stop, upload: float) -> float | None:
        """Seconds within which the training must have made its last save for this stop; None: no limit.

        `upload`: seconds that its upload takes. It happens in the rest of the time.
        """
        if stop not in (Stop.PREEMPTED, Stop.MAX_RUNTIME):
            return None
        left = self._notice.left() if self._notice.given else self._pace.grace
        return max(left - END_SECONDS - upload, left / 2)
