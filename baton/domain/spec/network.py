"""Which network is trained, and with which optimizer."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from baton.domain.catalog import NETWORKS
from baton.domain.spec.fields import Options, Rate, named, one_of
from baton.domain.validation import NUMBER, WHOLE, FieldValueError, Model


class NetworkSpec(Model):
    """Which network, and its size."""

    name: Annotated[str, one_of(NETWORKS, "network"), named(NETWORKS)]
    """A network that comes with Baton, or one that is installed beside the workers."""
    width: Annotated[float, Field(gt=0, le=8), NUMBER] = 1.0
    """Multiplies every filter count."""
    classes: Annotated[int, Field(ge=2, le=100_000), WHOLE] | None = None
    """How many it tells apart; left out: as many as the data has."""
    dropout: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0
    """Share of the features that are dropped in training."""
    options: Options = Field(default_factory=dict)
    """Arguments of a network that is installed beside the worker."""

    @model_validator(mode="after")
    def _options_are_for_extensions(self) -> Self:
        if self.options and self.name in NETWORKS:
            raise FieldValueError("options", f"{self.name} takes none beside width, classes and dropout")
        return self


class OptimizerSpec(Model):
    """Optimizer of the whole job; its state carries over from stage to stage."""

    name: Literal["adam", "rmsprop", "sgd"] = "adam"
    """As in Keras."""
    learning_rate: Rate = 1e-3
    """At the start of the job; schedules move it."""
    epsilon: Annotated[float, Field(gt=0, le=1), NUMBER] = 1e-7
    """Of adam and rmsprop."""
    momentum: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0
    """Of rmsprop and sgd."""
