"""Learning rate schedules within a stage."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from baton.domain.spec.fields import Fraction, Rate
from baton.domain.validation import NUMBER, WHOLE, FieldValueError, Model


class ConstantSchedule(Model):
    """The learning rate does not change within the stage."""

    name: Literal["constant"] = "constant"
    """The kind of schedule."""
    learning_rate: Rate | None = None
    """Learning rate from the start of the stage; left out: unchanged from the stage before."""


class PlateauSchedule(Model):
    """keras.callbacks.ReduceLROnPlateau, reset at the start of each stage."""

    name: Literal["reduce_on_plateau"] = "reduce_on_plateau"
    """The kind of schedule."""
    monitor: Literal["val_loss", "val_accuracy", "loss", "accuracy"] = "val_loss"
    """The metric that must improve."""
    factor: Fraction = math.sqrt(0.1)
    """A reduction multiplies the learning rate by this."""
    patience: Annotated[int, Field(ge=0), WHOLE] = 5
    """Epochs without improvement before a reduction."""
    cooldown: Annotated[int, Field(ge=0), WHOLE] = 0
    """Epochs after a reduction that are not counted."""
    min_delta: Annotated[float, Field(ge=0), NUMBER] = 1e-4
    """The smallest change that is an improvement."""
    min_lr: Annotated[float, Field(ge=0), NUMBER] = 0.5e-6
    """The lowest learning rate."""
    learning_rate: Rate | None = None
    """Learning rate at the start of the stage; left out: unchanged from the stage before."""


class CyclicSchedule(Model):
    """Smith's CyclicLR, updated every step, restarted at each stage."""

    name: Literal["cyclic"] = "cyclic"
    """The kind of schedule."""
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular2"
    """Height of the cycles: triangular keeps it, triangular2 halves it each cycle, exp_range reduces it by gamma."""
    base_lr: Rate = 1e-4
    """The lowest learning rate."""
    max_lr: Rate = 6e-4
    """The highest learning rate."""
    step_size: Annotated[int, Field(ge=1), WHOLE] = 2000
    """Steps of half a cycle."""
    gamma: Annotated[float, Field(gt=0, le=1), NUMBER] = 1.0
    """For exp_range: each step multiplies the height by this."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_lr < self.base_lr:
            raise FieldValueError("max_lr", f"must be at least base_lr ({self.base_lr:g})")
        return self


Schedule = Annotated[ConstantSchedule | PlateauSchedule | CyclicSchedule, Field(discriminator="name")]
