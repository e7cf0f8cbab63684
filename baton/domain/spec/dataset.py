"""The data set of a job and its split."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, model_validator

from baton.domain.catalog import DATASETS
from baton.domain.data_sources import DataUrl, is_url
from baton.domain.spec.fields import Fraction, Options, Reference, named, one_of
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
    """The images to train on: pushed data, files on the worker, or a URL that the operator of the worker allowed."""

    name: Annotated[str, one_of(DATASETS, "dataset"), named(DATASETS)]
    """A data set that comes with Baton, or an extension that is installed next to the workers."""
    path: Annotated[str | None, Field(min_length=1), Since(4, where=is_url)] = None
    """A directory or a .zip on the worker; or a URL below one of the worker's `BATON_DATA_SOURCES`: `https://` of a
    .zip, also with `#sha256=HEX`, or `gs://` or `s3://` of a folder or a .zip."""
    data: Annotated[Reference | None, Since(4)] = None
    """Pushed data: NAME, or NAME@sha256:DIGEST. At submission the service adds the newest digest to a name."""
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
    nested: Annotated[StrictBool, Since(4)] = False
    """For image-folder: also use the images in subfolders of the class folders."""
    on_broken: Annotated[Literal["fail", "skip"], Since(4)] = "fail"
    """What happens to files that cannot be decoded: the job fails and names them, or trains without them."""
    options: Options = Field(default_factory=dict)
    """Arguments for a data set that is an extension."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        info = DATASETS.get(self.name)
        if self.nested and self.name != "image-folder":
            raise FieldValueError("nested", "only image-folder has subfolders of class folders, leave this out")
        if info is None:
            return self._of_extension()
        if self.options:
            raise FieldValueError("options", f"data set {self.name} takes none")
        if self.data is not None and not info.needs_path:
            raise FieldValueError("data", f"data set {self.name} comes with Baton and takes no pushed data")
        self._one_source()
        if self.download and not info.downloadable:
            raise FieldValueError("download", f"data set {self.name} has no known source, leave this out")
        if info.needs_path and self.path is None and self.data is None and not self.download:
            needed = f"data set {self.name} needs the path of its directory or .zip on the worker"
            other = "download: true, or " if info.downloadable else ""
            raise FieldValueError("path", f"{needed}, or {other}pushed data: data: NAME")
        if not info.needs_path and self.path is not None:
            raise FieldValueError("path", f"data set {self.name} comes with Baton and takes no path")
        if info.classes is not None and self.classes is not None and self.classes > info.classes:
            raise FieldValueError("classes", f"data set {self.name} has {info.classes} classes")
        return self

    def _one_source(self) -> None:
        """Raise FieldValueError if pushed data is combined with another source, or the path is not a valid URL."""
        if self.path is not None and is_url(self.path):
            try:
                DataUrl.parse(self.path)
            except ValueError as error:
                raise FieldValueError("path", str(error)) from error
        other = "path" if self.path is not None else "download" if self.download else None
        if self.data is not None and other is not None:
            raise FieldValueError("data", f"cannot be combined with {other}: leave one of them out")

    def _of_extension(self) -> Self:
        self._one_source()
        if self.download:
            raise FieldValueError("download", f"data set {self.name} has no known source, leave this out")
        return self
