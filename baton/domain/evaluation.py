"""The content of `evaluation.json`, version 1. docs/reference/evaluation.md explains each field."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT: Literal[1] = 1
FILE = "evaluation.json"
KERAS_SINCE = "3.15"
"""Older versions of Keras refuse the keys `input_axes` and `output_axes` in the configuration of an initializer.

Tested: 3.8 and 3.10 to 3.14 refuse the keys, 3.15 accepts them.
"""


class _Part(BaseModel):
    # JSON has no NaN or infinity: such a loss is written as null.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


Share = float
"""0 to 1."""
Loss = Annotated[float | None, Field(description="mean over images; None: not a finite number")]


class EvaluatedModel(_Part):
    """The evaluated model. `stage` and `epoch` count from 1, `epoch` over the whole job; None: not known."""

    role: str
    stage: int | None = None
    epoch: int | None = None
    image_size: int


class ClassResult(_Part):
    """Results of one class. `label`: its row and column in the matrix. `images`: images of this class. `predicted`:
    images that the model put into this class.
    """

    label: int
    name: str
    images: int
    predicted: int
    precision: Share
    recall: Share
    f1: Share


class Averages(_Part):
    """Unweighted means over the classes that have images."""

    precision: Share
    recall: Share
    f1: Share


class SetResult(_Part):
    """Results on one set of images.

    `confusion[t][p]`: images of class t that the model put into class p. `best`: labels by falling F1. `worst`: labels
    by rising F1.
    """

    images: int
    loss: Loss
    accuracy: Share
    top5_accuracy: Share
    macro: Averages
    classes: tuple[ClassResult, ...]
    best: tuple[int, ...]
    worst: tuple[int, ...]
    confusion: tuple[tuple[int, ...], ...]


class KerasFile(_Part):
    """Versions of Keras: the one that wrote the job's .keras files, and the oldest one that can read .keras files of
    Baton's networks.
    """

    written_by: str
    read_since: str = KERAS_SINCE


class Evaluation(_Part):
    """The whole file. `sets`: validation, and test if the data set has one. `keras`: None in older files."""

    format: Literal[1] = FORMAT
    job: str
    network: str
    dataset: str
    model: EvaluatedModel
    sets: dict[str, SetResult]
    keras: KerasFile | None = None
