"""The base types of the messages between worker and service."""

from __future__ import annotations

from enum import StrEnum
from functools import total_ordering
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from baton.domain.scalars import Count, Real, Small
from baton.domain.validation import WHOLE


class Message(BaseModel):
    """Base of all messages. Each side accepts messages of other versions.

    Unknown keys are ignored. A field of type `Annotated[EnumType | Name, OPEN]` also accepts a value of a newer
    version. Such a value stays text; readers use `baton.domain.protocol_versions.known`.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, ser_json_inf_nan="strings")


OPEN = Field(union_mode="left_to_right")
Version = Annotated[int, Field(ge=1, le=2**31 - 1), WHOLE]


@total_ordering
class Position(Message):
    """Position of a run: `step` steps of epoch `epoch` of stage `stage` are done (all counted from 0).

    If `step` equals the epoch's number of steps, the epoch is trained but not validated. A finished epoch is step 0 of
    the next one. Positions are ordered by stage, epoch and step.
    """

    stage: Annotated[int, Field(ge=0, le=1_000), WHOLE]
    epoch: Small
    step: Count
    global_step: Count

    def __lt__(self, other: Position) -> bool:
        return (self.stage, self.epoch, self.step) < (other.stage, other.epoch, other.step)


class Progress(Message):
    """The progress of a running job as a user sees it. `stage` and `epoch` count from 1, `epoch` over the whole job.

    A program has no stages and no steps within an epoch: `stage`, `stages`, `step` and `steps` are 0. Its `epochs` and
    `total_steps` are 0 if they are unknown.

    `files_left_out`: files of the data set that are not used; the event `files_left_out` has the reason.
    """

    stage: Count
    stages: Count
    epoch: Count
    epochs: Count
    step: Count
    steps: Count
    global_step: Count
    total_steps: Count
    images_per_second: Real | None = None
    eta_seconds: Real | None = None
    files_left_out: Count = 0


class Phase(StrEnum):
    """The current activity of a worker."""

    STARTING = "starting"
    LOADING = "loading"
    RESTORING = "restoring"
    TRAINING = "training"
    VALIDATING = "validating"
    EVALUATING = "evaluating"
    STOPPING = "stopping"
