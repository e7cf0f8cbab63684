"""With which compiled programs a run goes on: those of its checkpoint, or new ones, and why."""

from __future__ import annotations

from collections.abc import Iterable

from core.domain.manifest import ProgramSet
from core.domain.policies import Reason
from core.domain.states import AttemptState
from core.domain.views import AttemptView
from worker.process import CRASHED
from worker.programs.carrier import Carrier, Fetch, UnusableProgram


def doubt(attempts: Iterable[AttemptView], number: int, step: int) -> str | None:
    """Why an attempt is to go without the programs of the checkpoint at `step`: one that had them failed at once.

    What was killed or taken away says nothing about them, nor does what failed later.
    """
    for one in attempts:
        if one.attempt < number and one.start_step == step and one.end_step in (None, step) and _crashed(one):
            return f"the compiled program is not used: attempt {one.attempt} failed with it before it got any further"
    return None


def _crashed(attempt: AttemptView) -> bool:
    died = attempt.reason == Reason.PROCESS_DIED and (attempt.message or "").startswith(CRASHED)
    return attempt.state == AttemptState.FAILED and (died or attempt.reason == Reason.EXCEPTION)


def resume(carrier: Carrier | None, carried: ProgramSet | None, fetch: Fetch, doubted: str | None) -> str | None:
    """Puts in place what a checkpoint carries; the answer says why a run has to compile anew."""
    if carrier is None:
        used = carried is not None and carried.files
        return "the compiled program is not used: this worker keeps none" if used else None
    try:
        if doubted:
            raise UnusableProgram(doubted)
        carrier.restore(carried, fetch)
    except UnusableProgram as error:
        carrier.begin(afresh=doubted is not None)
        return str(error)
    return None
