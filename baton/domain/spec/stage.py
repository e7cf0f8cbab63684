"""One stage of a job."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from baton.domain.spec.augmentation import Augmentation
from baton.domain.spec.fields import ImageSize
from baton.domain.spec.schedules import ConstantSchedule, Schedule
from baton.domain.validation import NUMBER, WHOLE, Model

Share = Annotated[float, Field(ge=0, le=1), NUMBER]


class Published(Model):
    """What the source of a plan reports, as shares of images, to be shown beside the own result; decides nothing."""

    val_accuracy: Share | None = None
    """On the validation images, at the end."""
    best_val_accuracy: Share | None = None
    """On the validation images, in the best epoch."""
    test_accuracy: Share | None = None
    """On the test images."""


class StageSpec(Model):
    """One stage: so many epochs at one image size and batch size, with one augmentation and schedule."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$")] | None = None
    """What it is called in tables; left out: stage-N."""
    image_size: ImageSize = 64
    """Pixels a side of the training images; a multiple of 8 for the networks that come with Baton."""
    validation_image_size: ImageSize | None = None
    """Pixels a side of the validation images; left out: those of training."""
    batch_size: Annotated[int, Field(ge=1, le=65_536), WHOLE] = 128
    """Images in a step, over all GPUs together."""
    epochs: Annotated[int, Field(ge=1, le=100_000), WHOLE]
    """How many."""
    steps_per_epoch: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] | None = None
    """Batches in an epoch; left out: as many as the training images fill."""
    augmentation: Augmentation = "none"
    """What is done to the training images: a name, or augmenters written out."""
    schedule: Schedule = ConstantSchedule()
    """How the learning rate moves."""
    start_from: Literal["latest", "best"] = "latest"
    """From the newest model of the stage before, or from its epoch that did best in validation."""
    published: Published | None = None
    """What the source of a plan reports of this stage; decides nothing."""

    @property
    def judged_at(self) -> int:
        """The image size, in pixels, at which the stage's models are validated, and tested if one is the best."""
        return self.validation_image_size or self.image_size
