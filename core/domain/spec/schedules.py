"""How the learning rate moves within a stage."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.domain.spec.fields import Fraction, Rate
from core.domain.validation import NUMBER, WHOLE, FieldValueError, Model


class ConstantSchedule(Model):
    """The learning rate stays what it was; `learning_rate` sets it at the start of the stage."""

    name: Literal["constant"] = "constant"
    learning_rate: Rate | None = None


class PlateauSchedule(Model):
    """keras.callbacks.ReduceLROnPlateau, fresh at each stage; `learning_rate` sets the rate at its start."""

    name: Literal["reduce_on_plateau"] = "reduce_on_plateau"
    monitor: Literal["val_loss", "val_accuracy", "loss", "accuracy"] = "val_loss"
    factor: Fraction = math.sqrt(0.1)
    patience: Annotated[int, Field(ge=0), WHOLE] = 5
    cooldown: Annotated[int, Field(ge=0), WHOLE] = 0
    min_delta: Annotated[float, Field(ge=0), NUMBER] = 1e-4
    min_lr: Annotated[float, Field(ge=0), NUMBER] = 0.5e-6
    learning_rate: Rate | None = None


class CyclicSchedule(Model):
    """Smith's CyclicLR, moved every step, restarted at each stage. `step_size`: steps of half a cycle."""

    name: Literal["cyclic"] = "cyclic"
    mode: Literal["triangular", "triangular2", "exp_range"] = "triangular2"
    base_lr: Rate = 1e-4
    max_lr: Rate = 6e-4
    step_size: Annotated[int, Field(ge=1), WHOLE] = 2000
    gamma: Annotated[float, Field(gt=0, le=1), NUMBER] = 1.0

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max_lr < self.base_lr:
            raise FieldValueError("max_lr", f"must be at least base_lr ({self.base_lr:g})")
        return self


Schedule = Annotated[ConstantSchedule | PlateauSchedule | CyclicSchedule, Field(discriminator="name")]
