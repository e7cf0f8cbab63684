"""What `evaluation.json` holds, version 1; docs/reference/evaluation.md explains each field. Pure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

FORMAT: Literal[1] = 1
FILE = "evaluation.json"
SETS = ("validation", "test")
KERAS_SINCE = "3.15"
"""Older versions of Keras refuse the keys `input_axes` and `output_axes` in the configuration of an initializer.

Tried with 3.8, 3.10 to 3.14 (refused) and 3.15.
"""


class _Part(BaseModel):
    # A loss that is no number becomes null, which every reader of JSON knows.
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="null")


Share = float
"""0 to 1."""
Loss = Annotated[float | None, Field(description="mean over images; None: no number")]


class EvaluatedModel(_Part):
    """Which model was asked. `stage` and `epoch` count from 1, `epoch` over the whole job; None: not known."""

    role: str
    stage: int | None = None
    epoch: int | None = None
    image_size: int


class ClassResult(_Part):
    """One class, a place in the matrix. `images` that are of it, `predicted` that were taken for it."""

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
    """One set of images.

    `confusion[t][p]`: images of class t that were taken for class p. `best`, `worst`: labels by F1, that one first.
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
    """Which Keras wrote the job's .keras files, and the oldest that reads those of Baton's own networks."""

    written_by: str
    read_since: str = KERAS_SINCE


class Evaluation(_Part):
    """The file. `sets`: validation, and test where the data set has one. `keras`: None from an older release."""

    format: Literal[1] = FORMAT
    job: str
    network: str
    dataset: str
    model: EvaluatedModel
    sets: dict[str, SetResult]
    keras: KerasFile | None = None
