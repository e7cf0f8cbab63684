"""How the learning rate moves within a stage."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from baton.domain.spec.fields import Fraction, Rate
from baton.domain.validation import NUMBER, WHOLE, FieldValueError, Model


class ConstantSchedule(Model):
    """The learning rate stays what it was."""

    name: Literal["constant"] = "constant"
    """Which schedule this is."""
    learning_rate: Rate | None = None
    """Set at the start of the stage; left out: what it was."""


class PlateauSchedule(Model):
    """keras.callbacks.ReduceLROnPlateau, fresh at each stage."""

    name: Literal["reduce_on_plateau"] = "reduce_on_plateau"
    """Which schedule this is."""
    monitor: Literal["val_loss", "val_accuracy", "loss", "accuracy"] = "val_loss"
    """What must get better."""
    factor: Fraction = math.sqrt(0.1)
    """What the rate is multiplied by."""
    patience: Annotated[int, Field(ge=0), WHOLE] = 5
    """Epochs without improvement that are borne."""
    cooldown: Annotated[int, Field(ge=0), WHOLE] = 0
    """Epochs after a reduction in which none is counted."""
    min_delta: Annotated[float, Field(ge=0), NUMBER] = 1e-4
    """The least change that is an improvement."""
    min_lr: Annotated[float, Field(ge=0), NUMBER] = 0.5e-6
    """The rate never falls below."""
    learning_rate: Rate | None = None
    """Set at the start of the stage; left out: what it was."""


class CyclicSchedule(Model):
    """Smith's CyclicLR, moved every step, restarted at each stage."""

    name: Literal["cyclic"] = "cyclic"
    """Which schedule this is."""
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular2"
    """Whether the height of the cycles stays, halves with each, or falls with gamma."""
    base_lr: Rate = 1e-4
    """The lowest rate."""
    max_lr: Rate = 6e-4
    """The highest rate."""
    step_size: Annotated[int, Field(ge=1), WHOLE] = 2000
    """Steps of half a cycle."""
    gamma: Annotated[float, Field(gt=0, le=1), NUMBER] = 1.0
    """Of exp_range: the height is multiplied by it each step."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_lr < self.base_lr:
            raise FieldValueError("max_lr", f"must be at least base_lr ({self.base_lr:g})")
        return self


Schedule = Annotated[ConstantSchedule | PlateauSchedule | CyclicSchedule, Field(discriminator="name")]
