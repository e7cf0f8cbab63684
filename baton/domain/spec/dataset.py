"""Which images are trained on, and how they are divided."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from baton.domain.catalog import DATASETS
from baton.domain.spec.fields import Fraction, Options, named, one_of
from baton.domain.spec.versions import Since
from baton.domain.validation import WHOLE, FieldValueError, Model


class SplitFractions(Model):
    """A stratified division of the training images. The parts add up to 1 at most."""

    train: Fraction
    """Share of the images that are trained on."""
    val: Fraction
    """Share that each epoch is judged by."""
    test: Literal["official"] | Fraction | None = None
    """Share that the best model is judged by in the end, or the official validation images; left out: no test."""

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
    """Which images. What is on a disk is named by its path on the worker; a spec never makes a worker fetch a URL."""

    name: Annotated[str, one_of(DATASETS, "dataset"), named(DATASETS)]
    """A data set that comes with Baton, or one that is installed beside the workers."""
    path: str | None = Field(default=None, min_length=1)
    """A directory or a .zip on the worker."""
    download: StrictBool = False
    """Without a path the worker gets the data set once, from where its own settings say."""
    split: Annotated[Literal["official"] | SplitFractions, BeforeValidator(_known_split)] | None = None
    """official, or fractions; left out: that of the data set, see the how-to on data sets."""
    classes: Annotated[int, Field(ge=2), WHOLE] | None = None
    """Only the first so many classes, in sorted order."""
    per_class: Annotated[int, Field(ge=1), WHOLE] | None = None
    """Only the first so many training images of each class."""
    on_change: Annotated[Literal["fail", "continue"], Since(2)] = "fail"
    """What a resumed job does if the data has changed: it pauses, or it continues inexactly."""
    options: Options = Field(default_factory=dict)
    """Arguments of a data set that is installed beside the worker."""

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
