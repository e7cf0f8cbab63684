"""The data set of a job and its split."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from baton.domain.catalog import DATASETS
from baton.domain.spec.fields import Fraction, Options, named, one_of
from baton.domain.spec.versions import Since
from baton.domain.validation import WHOLE, FieldValueError, Model


class SplitFractions(Model):
    """A stratified split of the training images. The sum of the shares is at most 1."""

    train: Fraction
    """Share of the images for training."""
    val: Fraction
    """Share for validation, after each epoch."""
    test: Literal["official"] | Fraction | None = None
    """Share for the test of the best model, or official: the official validation images; left out: no test."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        total = self.train + self.val + (self.test if isinstance(self.test, float) else 0.0)
        if total > 1 + 1e-9:
            raise ValueError(f"the parts add up to {total:g}, more than 1")
        return self


def _known_split(value: object) -> object:
    if value == "official" or isinstance(value, SplitFractions):
        return value
    if not isinstance(value, dict):
        raise ValueError("must be official, or fractions such as {train: 0.8, val: 0.2, test: official}")
    return SplitFractions.model_validate(value)


class DatasetSpec(Model):
    """The images to train on. Files are named by their path on the worker. A spec cannot name a URL."""

    name: Annotated[str, one_of(DATASETS, "dataset"), named(DATASETS)]
    """A data set that comes with Baton, or an extension that is installed next to the workers."""
    path: str | None = Field(default=None, min_length=1)
    """A directory or a .zip on the worker."""
    download: StrictBool = False
    """Without a path: the worker downloads the data set once, from the source in its own settings."""
    split: Annotated[Literal["official"] | SplitFractions, BeforeValidator(_known_split)] | None = None
    """official, or fractions; left out: the default of the data set, see the how-to on data sets."""
    classes: Annotated[int, Field(ge=2), WHOLE] | None = None
    """Use only this many classes, the first in sorted order."""
    per_class: Annotated[int, Field(ge=1), WHOLE] | None = None
    """Use only this many training images of each class, the first ones."""
    on_change: Annotated[Literal["fail", "continue"], Since(2)] = "fail"
    """What a resumed job does if the data has changed: it pauses, or it continues inexactly."""
    options: Options = Field(default_factory=dict)
    """Arguments for a data set that is an extension."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        info = DATASETS.get(self.name)
        if info is None:
            return self._of_extension()
        if self.options:
            raise FieldValueError("options", f"data set {self.name} takes none")
        if self.download and not info.downloadable:
            raise FieldValueError("download", f"data set {self.name} has no known source, leave this out")
        if info.needs_path and self.path is None and not self.download:
            needed = f"data set {self.name} needs the path of its directory or .zip on the worker"
            raise FieldValueError("path", needed + (", or download: true" if info.downloadable else ""))
        if not info.needs_path and self.path is not None:
            raise FieldValueError("path", f"data set {self.name} comes with Baton and takes no path")
        if info.classes is not None and self.classes is not None and self.classes > info.classes:
            raise FieldValueError("classes", f"data set {self.name} has {info.classes} classes")
        return self

    def _of_extension(self) -> Self:
        if self.download:
            raise FieldValueError("download", f"data set {self.name} has no known source, leave this out")
        return self
