"""How many steps an epoch has: one formula for the plans that are shown and the runs that are trained."""

from __future__ import annotations

from baton.domain.spec import StageSpec


def steps_per_epoch(stage: StageSpec, images: int) -> int:
    """Batches in an epoch: as the spec says, or as many whole ones as the training images fill, at least one."""
    return stage.steps_per_epoch or max(1, images // stage.batch_size)


def stage_steps(stage: StageSpec, images: int | None) -> int | None:
    """Steps of all epochs of a stage; None where the spec leaves them to training images that nobody counted yet."""
    if stage.steps_per_epoch is None and images is None:
        return None
    return stage.epochs * steps_per_epoch(stage, images or 0)
