"""One stage of a job."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.domain.spec.augmentation import Augmentation
from core.domain.spec.fields import ImageSize
from core.domain.spec.schedules import ConstantSchedule, Schedule
from core.domain.validation import NUMBER, WHOLE, Model

Share = Annotated[float, Field(ge=0, le=1), NUMBER]


class Published(Model):
    """What the source of a plan reports, as shares of images, to be shown beside the own result; decides nothing."""

    val_accuracy: Share | None = None
    best_val_accuracy: Share | None = None
    test_accuracy: Share | None = None


class StageSpec(Model):
    """One stage. An epoch is `steps_per_epoch` batches (None: as many as fit the training images).

    `published`: at the end of the stage and at best in it, by the source of the plan.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._ -]{0,63}$")] | None = None
    image_size: ImageSize = 64
    validation_image_size: ImageSize | None = None
    batch_size: Annotated[int, Field(ge=1, le=65_536), WHOLE] = 128
    epochs: Annotated[int, Field(ge=1, le=100_000), WHOLE]
    steps_per_epoch: Annotated[int, Field(ge=1, le=10_000_000), WHOLE] | None = None
    augmentation: Augmentation = "none"
    schedule: Schedule = ConstantSchedule()
    start_from: Literal["latest", "best"] = "latest"
    published: Published | None = None

    @property
    def judged_at(self) -> int:
        """The image size, in pixels, at which the stage's models are validated, and tested if one is the best."""
        return self.validation_image_size or self.image_size
