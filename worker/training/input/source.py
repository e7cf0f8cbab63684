"""The batches of a stage: augmented on the host, or selected and augmented by the training step itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import numpy as np

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.domain.spec import JobSpec
from worker.fetched.prefetch import ahead
from worker.training.augmentation.device import unsupported
from worker.training.data.image_data import Split
from worker.training.input.batch_plan import BatchPlan
from worker.training.input.host_source import BatchSource
from worker.training.input.shuffle import device_seed
from worker.training.step.batch import Batch
from worker.training.step.engine import Engine
from worker.training.step.inputs import Change, Held, Images, Labels, Rows

_UNEVEN = "stages.{stage}.batch_size: {n} GPUs cannot share {images} images evenly; change it, or BATON_GPUS"
_NOT_IN_STEP = (
    "stages.{stage}.augmentation: {what} cannot run inside the step; set augmentation_engine to auto, or to imgaug"
)


Made = TypeVar("Made")


class Source(Protocol):
    """The batches of one stage. Iteration can start at any batch."""

    def batches(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches first_batch..steps_per_epoch-1 of an epoch, both counted from 0."""
        ...

    def close(self) -> None:
        """Ends the processes that compute the batches, if any."""
        ...


class StepSource:
    """Batches that the training step augments. `held`: the images in device memory, if they fit."""

    def __init__(self, plan: BatchPlan, held: Held | None) -> None:
        self._plan, self._held = plan, held

    def batches(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches first_batch..steps_per_epoch-1 of an epoch, both counted from 0."""
        numbers = range(first_batch, self._plan.steps_per_epoch)
        # Images in host memory are gathered while the device computes the previous step.
        return in_turn(lambda batch: self._batch(epoch, batch), numbers, gathers=self._held is None)

    def _batch(self, epoch: int, batch: int) -> Batch:
        indices = self._plan.indices(epoch, batch)
        images = rows_of(self._plan.split, indices, self._held)
        labels, policy, change = self._plan.split.labels[indices], self._plan.policy, None
        if policy != "none":
            change = Change(policy, device_seed(self._plan.seed, self._plan.stage, epoch, batch))
        return Batch(images, labels, change)

    def close(self) -> None:
        """Does nothing: the thread that gathers images ends with its iterator."""


def rows_of(split: Split, indices: np.ndarray, held: Held | None) -> Images:
    """The images of a split at `indices`: as rows in device memory, or copied from the host if `held` is None."""
    return split.take(indices) if held is None else Rows(held, split.rows[indices].astype(np.int32))


def in_turn(make: Callable[[int], Made], numbers: range, *, gathers: bool) -> Iterator[Made]:
    """`make(number)` for each number. `gathers`: `make` copies images on the host, so a thread calls it in advance."""
    return ahead(make, numbers) if gathers else map(make, numbers)


def in_order(
    split: Split, size: int, between: Callable[[], None], held: Held | None = None
) -> Iterator[tuple[Images, Labels]]:
    """A split's images and labels in order, `size` at a time. Calls `between` before each batch."""

    def batch(start: int) -> tuple[Images, Labels]:
        indices = np.arange(start, min(start + size, len(split)))
        return rows_of(split, indices, held), split.labels[indices]

    for images, labels in in_turn(batch, range(0, len(split), size), gathers=held is None):
        between()
        yield images, labels


def make_source(
    spec: JobSpec,
    engine: Engine,
    split: Split,
    stage: int,
    steps: int,
    processes: int,
    waiting: Callable[[], None] = lambda: None,
) -> Source:
    """The batches of a stage, counted from 0. The step augments them if spec and device allow it.

    `waiting`: called repeatedly while a batch is not ready; an exception that it raises ends the wait.

    Raises:
        JobFailure: unsupported, the step cannot do what the spec demands, or the GPUs cannot share a batch evenly.
    """
    asked = spec.stages[stage]
    devices = engine.replicas.count
    if asked.batch_size % devices:
        raise JobFailure(Reason.UNSUPPORTED, _UNEVEN.format(stage=stage, images=asked.batch_size, n=devices))
    if engine.draws and in_step(spec, stage):
        plan = BatchPlan(split, asked.augmentation, spec.seed, stage, asked.batch_size, steps)
        return StepSource(plan, engine.hold(split.images))
    return BatchSource(
        split,
        policy=asked.augmentation,
        seed=spec.seed,
        stage=stage,
        batch_size=asked.batch_size,
        steps_per_epoch=steps,
        processes=processes,
        waiting=waiting,
    )


def in_step(spec: JobSpec, stage: int) -> bool:
    """Whether the step augments this stage's images, if the device supports that.

    Raises:
        JobFailure: unsupported, the spec demands it and the step cannot do it.
    """
    augmentation = spec.stages[stage].augmentation
    if augmentation == "none" or spec.augmentation_engine == "imgaug":
        return augmentation == "none"
    missing = unsupported(augmentation)
    if missing and spec.augmentation_engine == "device":
        raise JobFailure(Reason.UNSUPPORTED, _NOT_IN_STEP.format(stage=stage, what=", ".join(missing)))
    return not missing
