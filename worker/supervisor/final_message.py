"""The message that ends the attempt of a training process that died or was killed."""

from __future__ import annotations

from baton.domain.reasons import Reason
from baton.domain.wire import Finish, Outcome
from worker.ipc.messages import Held
from worker.supervisor.process import TrainingProcess
from worker.supervisor.stall_enforcement import StallEnforcement


def final_message(
    training: TrainingProcess, held: Held, enforcement: StallEnforcement | None, too_late: str | None
) -> Finish | None:
    """The message; None if the process ended well, or if the lease is lost.

    `enforcement`: what watched the process. `too_late`: why the process had to hand over, if it was killed because it
    did not do so in time.
    """
    if enforcement is not None and enforcement.ended_it:
        return enforcement.final_message(held)
    death = training.death()
    if death is None and not training.abandoned:
        return None
    if too_late is not None or death is None:
        text = f"{too_late}; the last state could not be saved in time"
        return Finish(fence=held.fence, outcome=Outcome.PREEMPTED, reason=Reason.PREEMPTED, message=text)
    return Finish(fence=held.fence, outcome=Outcome.FAILED, reason=death.reason, message=death.message)
