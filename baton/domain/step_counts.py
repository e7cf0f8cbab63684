"""The number of steps of an epoch and of a stage. Plans and runs use the same formula."""

from __future__ import annotations

from baton.domain.spec import StageSpec


def steps_per_epoch(stage: StageSpec, images: int) -> int:
    """Batches in an epoch: `stage.steps_per_epoch`, or the number of full batches in `images`, at least one."""
    return stage.steps_per_epoch or max(1, images // stage.batch_size)


def stage_steps(stage: StageSpec, images: int | None) -> int | None:
    """Steps of all epochs of a stage. None if they depend on the number of images and that is not known."""
    if stage.steps_per_epoch is None and images is None:
        return None
    return stage.epochs * steps_per_epoch(stage, images or 0)
