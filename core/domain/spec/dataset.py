"""Which images are trained on, and how they are divided."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from core.domain.catalog import DATASETS
from core.domain.spec.fields import Fraction, Options, named, one_of
from core.domain.validation import WHOLE, FieldValueError, Model


class SplitFractions(Model):
    """A stratified division of the training images. `test`: a fraction, or the official validation set."""

    train: Fraction
    val: Fraction
    test: Literal["official"] | Fraction | None = None

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
    """Which images. `classes` and `per_class` take the first classes in sorted order and the first images of each.

    `path`: a directory or a .zip on the worker. `download`: without a path the worker gets it, from where its own
    settings say: a spec never makes a worker fetch a URL. `options`: arguments of a data set that is
    installed beside the worker.
    """

    name: Annotated[str, one_of(DATASETS, "dataset"), named(DATASETS)]
    path: str | None = Field(default=None, min_length=1)
    download: StrictBool = False
    split: Annotated[Literal["official"] | SplitFractions, BeforeValidator(_known_split)] | None = None
    classes: Annotated[int, Field(ge=2), WHOLE] | None = None
    per_class: Annotated[int, Field(ge=1), WHOLE] | None = None
    options: Options = Field(default_factory=dict)

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
