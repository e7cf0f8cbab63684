"""Which network is trained, and with which optimizer."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from core.domain.catalog import NETWORKS
from core.domain.spec.fields import Options, Rate, named, one_of
from core.domain.validation import NUMBER, WHOLE, FieldValueError, Model


class NetworkSpec(Model):
    """Which network, how wide (`width` multiplies every filter count) and for how many classes (None: the data's).

    `options`: arguments of a network that is installed beside the worker.
    """

    name: Annotated[str, one_of(NETWORKS, "network"), named(NETWORKS)]
    width: Annotated[float, Field(gt=0, le=8), NUMBER] = 1.0
    classes: Annotated[int, Field(ge=2, le=100_000), WHOLE] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0
    options: Options = Field(default_factory=dict)

    @model_validator(mode="after")
    def _options_are_for_extensions(self) -> Self:
        if self.options and self.name in NETWORKS:
            raise FieldValueError("options", f"{self.name} takes none beside width, classes and dropout")
        return self


class OptimizerSpec(Model):
    """Optimizer of the whole job; its state carries over from stage to stage."""

    name: Literal["adam", "rmsprop", "sgd"] = "adam"
    learning_rate: Rate = 1e-3
    epsilon: Annotated[float, Field(gt=0, le=1), NUMBER] = 1e-7
    momentum: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0
