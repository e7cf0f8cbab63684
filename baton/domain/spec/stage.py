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
    """Results that the source of a plan reports, as shares of images. They are shown for comparison only."""

    val_accuracy: Share | None = None
    """On the validation images, at the end."""
    best_val_accuracy: Share | None = None
    """On the validation images, in the best epoch."""
    test_accuracy: Share | None = None
    """On the test images."""


class StageSpec(Model):
    """One stage: epochs with one image size, batch size, augmentation and schedule."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$")] | None = None
    """Name of the stage in tables; left out: stage-N."""
    image_size: ImageSize = 64
    """Side of the training images in pixels; a multiple of 8 for the networks that come with Baton."""
    validation_image_size: ImageSize | None = None
    """Side of the validation images in pixels; left out: image_size."""
    batch_size: Annotated[int, Field(ge=1, le=65_536), WHOLE] = 128
    """Images in a step, on all GPUs together."""
    epochs: Annotated[int, Field(ge=1, le=100_000), WHOLE]
    """Number of epochs."""
    steps_per_epoch: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] | None = None
    """Batches in an epoch; left out: the number of full batches of the training images."""
    augmentation: Augmentation = "none"
    """Changes of the training images: a name, or a list of augmenters."""
    schedule: Schedule = ConstantSchedule()
    """How the learning rate changes."""
    start_from: Literal["latest", "best"] = "latest"
    """Start from the newest model of the stage before, or from its best epoch in validation."""
    published: Published | None = None
    """Results that the source of a plan reports for this stage; no effect on training."""

    @property
    def judged_at(self) -> int:
        """The image size in pixels at which the stage's models are validated and tested."""
        return self.validation_image_size or self.image_size
