"""Decides whether a resumed run uses the autotuning results of its checkpoint or new ones."""

from __future__ import annotations

from collections.abc import Iterable

from baton.domain.manifest import ProgramSet
from baton.domain.reasons import Reason
from baton.domain.states import AttemptState
from baton.domain.views import AttemptView
from worker.autotuning.transfer import Fetch, OtherMachine, ResultsTransfer, UnusableResults
from worker.failure_texts import CRASHED


def doubt(attempts: Iterable[AttemptView], number: int, step: int) -> str | None:
    """Why an attempt must not use the results of the checkpoint at `step`; None if it may.

    The reason is an earlier attempt that used these results and failed at once. A kill, a preemption or a failure at a
    later step is no evidence against the results.
    """
    for one in attempts:
        if one.attempt < number and one.start_step == step and one.end_step in (None, step) and _crashed(one):
            return f"the autotuning results are not used: attempt {one.attempt} failed with them before its first save"
    return None


def _crashed(attempt: AttemptView) -> bool:
    died = attempt.reason == Reason.PROCESS_DIED and (attempt.message or "").startswith(CRASHED)
    return attempt.state == AttemptState.FAILED and (died or attempt.reason == Reason.EXCEPTION)


def resume(
    transfer: ResultsTransfer | None, carried: ProgramSet | None, fetch: Fetch, doubted: str | None, step: int
) -> str | None:
    """Prepares the results of the checkpoint at `step` for XLA. Returns why the resume is not exact; None if it is.

    `transfer` is None without a GPU: on a CPU, XLA does no autotuning.
    """
    if transfer is None:
        return None
    try:
        if doubted:
            raise UnusableResults(doubted)
        transfer.restore(carried, fetch)
    except UnusableResults as error:
        transfer.begin(afresh=doubted is not None)
        # Before the first step no kernel has computed anything, so other kernels cannot make the resume inexact.
        matters = step > 0 and (transfer.needed or isinstance(error, OtherMachine))
        return str(error) if matters else None
    return None
