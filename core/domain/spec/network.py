"""Which network is trained, and with which optimizer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.domain.catalog import NETWORKS
from core.domain.spec.fields import Rate, named, one_of
from core.domain.validation import NUMBER, WHOLE, Model


class NetworkSpec(Model):
    """Which network, how wide (`width` multiplies every filter count) and for how many classes (None: the data's)."""

    name: Annotated[str, one_of(NETWORKS, "network"), named(NETWORKS)]
    width: Annotated[float, Field(gt=0, le=8), NUMBER] = 1.0
    classes: Annotated[int, Field(ge=2, le=100_000), WHOLE] | None = None
    dropout: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0


class OptimizerSpec(Model):
    """Optimizer of the whole job; its state carries over from stage to stage."""

    name: Literal["adam", "rmsprop", "sgd"] = "adam"
    learning_rate: Rate = 1e-3
    epsilon: Annotated[float, Field(gt=0, le=1), NUMBER] = 1e-7
    momentum: Annotated[float, Field(ge=0, lt=1), NUMBER] = 0.0
