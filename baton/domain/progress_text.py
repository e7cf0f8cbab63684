"""The progress of a job as text, for notifications and the command line."""

from __future__ import annotations

from baton.domain.message_base import Progress


def position_text(at: Progress, *, of: str = " of ") -> str:
    """Stage, epoch and global step. A program has no stages, and its totals may be unknown.

    >>> none = {"stage": 0, "stages": 0, "epoch": 0, "epochs": 0, "step": 0, "steps": 0}
    >>> position_text(Progress(**none, global_step=500, total_steps=0))
    'step 500'
    >>> position_text(Progress(**{**none, "epoch": 2, "epochs": 9}, global_step=500, total_steps=4000), of="/")
    'epoch 2/9, step 500/4000'
    """
    parts = [_counted("stage", at.stage, at.stages, of), _counted("epoch", at.epoch, at.epochs, of)]
    return ", ".join(filter(None, [*parts, _counted("step", at.global_step, at.total_steps, of) or "step 0"]))


def _counted(name: str, number: int, total: int, of: str) -> str:
    if total:
        return f"{name} {number}{of}{total}"
    return f"{name} {number}" if number else ""
