"""The network and the optimizer of a job."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from baton.domain.catalog import NETWORKS
from baton.domain.spec.fields import Options, Rate, named, one_of
from baton.domain.spec.versions import Since
from baton.domain.validation import NUMBER, WHOLE, FieldValueError, Model


class NetworkSpec(Model):
    """The network and its size."""

    name: Annotated[str, one_of(NETWORKS, "network"), named(NETWORKS), Since(6, "tiny-cnn")]
    """A network that comes with Baton, or an extension that is installed next to the workers."""
    width: Annotated[float, Field(gt=0, le=8), NUMBER] = 1.0
    """Multiplies every filter count."""
    classes: Annotated[int, Field(ge=2, le=100_000), WHOLE] | None = None
    """Number of output classes; left out: the number of classes of the data set."""
    dropout: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0
    """Dropout rate: share of the features that are set to 0 in training."""
    options: Options = Field(default_factory=dict)
    """Arguments for a network that is an extension."""

    @model_validator(mode="after")
    def _options_are_for_extensions(self) -> Self:
        if self.options and self.name in NETWORKS:
            raise FieldValueError("options", f"{self.name} takes none; width, classes and dropout are fields")
        return self


class OptimizerSpec(Model):
    """The optimizer of the whole job. Its state is kept from stage to stage."""

    name: Literal["adam", "rmsprop", "sgd"] = "adam"
    """The optimizer, as in Keras."""
    learning_rate: Rate = 1e-3
    """Learning rate at the start of the job; schedules change it."""
    epsilon: Annotated[float, Field(gt=0, le=1), NUMBER] = 1e-7
    """For adam and rmsprop."""
    momentum: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0
    """For rmsprop and sgd."""
