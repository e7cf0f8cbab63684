"""The end of an attempt: sends all queued data, and obeys directives and notices that arrive meanwhile."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from baton.domain.errors import LeaseLost
from baton.domain.reasons import Reason
from baton.domain.wire import Finish, Outcome, Phase
from worker.attempt.context import AttemptContext
from worker.attempt.lease import Lease
from worker.attempt.protocols import Stop, Stopped
from worker.background import LOOK_SECONDS
from worker.preemption.notice import Notice

FINISH_MARGIN_SECONDS = 2.0
"""The worker keeps this part of the grace time for the finish message. With it the next worker can start at once."""
CANCEL_SECONDS = 2.0
"""Time limit to send the queued history rows of a cancelled job. Such a job saves nothing else."""
PAUSE_FILE_SECONDS = 10.0
"""After the state of a paused job is saved, an upload of a file that is in progress may take this time."""
FILES_SECONDS = 3600.0
"""A finished job waits this long for its files, after its state is saved."""
SAVES_SECONDS = 600.0
"""The saves of a program that has failed may take this time."""
DOING = {
    Stop.PREEMPTED: "handing over: waits until the state is saved",
    Stop.PAUSED: "pausing: waits until the state is saved",
    Stop.CANCELLED: "cancelling: saves nothing more",
    Stop.MAX_RUNTIME: "ending at a limit of the job: waits until the state is saved",
}
ENDS_SOON = (Stop.PREEMPTED, Stop.MAX_RUNTIME)
"""Stops after which the worker has only `grace` seconds, or the time from the notice, to save."""

LIMIT_REACHED = "the job has reached a limit (limits.max_runtime or limits.budget)"
OUTCOMES = {
    Stop.PREEMPTED: (Outcome.PREEMPTED, Reason.PREEMPTED),
    Stop.PAUSED: (Outcome.PAUSED, Reason.PAUSED),
    Stop.CANCELLED: (Outcome.CANCELLED, Reason.CANCELLED),
    Stop.MAX_RUNTIME: (Outcome.FAILED, Reason.MAX_RUNTIME),
}

log = logging.getLogger(__name__)


def send_the_rest(context: AttemptContext) -> None:
    """Sends everything that a finished job has queued. Raises Stopped if the attempt is to end before that.

    The state has no time limit: without it the job is not finished. Files that are not written within FILES_SECONDS
    are reported as lost.
    """
    context.settle(files=False)
    if not context.settle(files=True, seconds=FILES_SECONDS):
        context.uploads.give_up_files(TimeoutError(f"it was not written within {FILES_SECONDS / 60:.0f} min"))
        context.settle(files=False)


def send_the_saves(context: AttemptContext) -> None:
    """Sends what a program saved, recorded and noted before it failed: the next attempt continues from there.

    It ends without an error when the attempt is to end, when a save fails, or after SAVES_SECONDS. Raises LeaseLost.
    """
    try:
        context.settle(files=False, seconds=SAVES_SECONDS)
    except LeaseLost:
        raise
    except (Stopped, Exception) as error:
        log.warning("what the program saved last was not sent: %s", error)


def handed_over(context: AttemptContext, lease: Lease, notice: Notice, grace: float) -> Finish:
    """Hands the attempt over, and returns the message that ends it. `grace`: seconds."""
    stop, saved = hand_over(context, lease, notice, grace)
    outcome, reason = OUTCOMES[stop]
    message = notice.cause if stop is Stop.PREEMPTED else ""
    if stop is Stop.MAX_RUNTIME:
        message = LIMIT_REACHED
    if not saved:
        trouble = lease.troubles.current()
        message += "; the last state could not be saved in time" + (f": {trouble}" if trouble else "")
    return Finish(fence=context.fence, outcome=outcome, reason=reason, message=message)


def hand_over(context: AttemptContext, lease: Lease, notice: Notice, grace: float) -> tuple[Stop, bool]:
    """Saves the last state. Meanwhile a cancellation or a notice replaces a pause.

    Returns why the attempt ends, and whether the state is saved. For a cancelled job the second value is always True.
    """
    stop = context.stopping() or Stop.PREEMPTED
    while True:
        result = _send_state(context, lease, stop, _limit(stop, notice, grace))
        if isinstance(result, bool):
            return stop, result or stop is Stop.CANCELLED
        stop = result


def _limit(stop: Stop, notice: Notice, grace: float) -> float | None:
    """Seconds within which the state must be saved; None: no limit."""
    if stop in ENDS_SOON:
        left = notice.left() if notice.given else grace
        return max(left - FINISH_MARGIN_SECONDS, left / 2)
    return CANCEL_SECONDS if stop is Stop.CANCELLED else None


def _send_state(context: AttemptContext, lease: Lease, stop: Stop, seconds: float | None) -> bool | Stop:
    """Returns whether the state is saved, or the new stop if another stop replaced `stop` in the meantime."""
    lease.tell(Phase.STOPPING, doing=DOING[stop])
    context.uploads.hurry()
    sent = _wait(context, stop, seconds, lambda left: context.uploads.flush(seconds=left, files=False))
    if sent is True and stop is Stop.PAUSED:
        late = _wait(context, stop, PAUSE_FILE_SECONDS, lambda left: context.uploads.flush(seconds=left))
        return late if isinstance(late, Stop) else True
    # The next attempt records the history rows that are not sent in time.
    return context.uploads.saved if sent is False else sent


def _wait(context: AttemptContext, stop: Stop, seconds: float | None, wait: Callable[[float], bool]) -> bool | Stop:
    """Returns whether `wait` succeeded within `seconds`, or the new stop if another stop replaced `stop`."""
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        left = LOOK_SECONDS if until is None else min(LOOK_SECONDS, until - time.monotonic())
        if wait(max(left, 0.0)):
            return True
        if until is not None and time.monotonic() >= until:
            return False
        now = context.stopping()
        if now is not None and now is not stop:
            return now
