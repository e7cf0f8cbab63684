"""The content of a training batch, as a pure function of its position in the run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from baton.domain.spec import AugmentationSpec
from worker.training.augmentation import augment
from worker.training.data.image_data import Split
from worker.training.input.shuffle import batch_indices, batch_seed


@dataclass(frozen=True, eq=False)
class BatchPlan:
    """Everything that decides a batch of a stage, except the numbers of epoch and batch, which are counted from 0."""

    split: Split
    policy: str | AugmentationSpec
    seed: int
    stage: int
    batch_size: int
    steps_per_epoch: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of a batch's images: (batch_size, size, size, 3)."""
        return (self.batch_size, self.split.size, self.split.size, 3)

    def indices(self, epoch: int, batch: int) -> NDArray[np.int64]:
        """Which images of the split, int64 [batch_size]."""
        return batch_indices(
            seed=self.seed,
            stage=self.stage,
            epoch=epoch,
            batch=batch,
            batch_size=self.batch_size,
            steps_per_epoch=self.steps_per_epoch,
            size=len(self.split),
        )

    def images(self, epoch: int, batch: int) -> NDArray[np.uint8]:
        """The augmented images, uint8 [batch_size, size, size, 3]."""
        originals = self.split.take(self.indices(epoch, batch))
        return augment(self.policy, originals, batch_seed(self.seed, self.stage, epoch, batch))

    def labels(self, epoch: int, batch: int) -> NDArray[np.int32]:
        """Their labels, int32 [batch_size]."""
        return self.split.labels[self.indices(epoch, batch)]

    def after(self, epoch: int, batch: int) -> tuple[int, int]:
        """Epoch and number of the next batch, which may be in the next epoch."""
        return (epoch, batch + 1) if batch + 1 < self.steps_per_epoch else (epoch + 1, 0)
