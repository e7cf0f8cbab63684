"""The data sets, by the names that a spec uses."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from core.domain.spec import DatasetSpec
from worker.training.data.cache import Progress, cached_images
from worker.training.data.model import ImageData, Split
from worker.training.data.sources import list_images
from worker.training.data.splits import split_rows

__all__ = ["ImageData", "Progress", "Split", "load_images"]
log = logging.getLogger(__name__)


def _quiet(_done: int, _total: int) -> None:
    """Tells nobody."""


def load_images(spec: DatasetSpec, *, size: int, cache: Path, seed: int, progress: Progress = _quiet) -> ImageData:
    """A data set with images of `size` pixels a side, decoded once for each machine into the directory `cache`.

    The splits are decided by the labels and `seed`, so they are the same at every size. `progress(done, total)` counts
    decoded images; it may raise to stop.

    Raises:
        JobFailure: bad_data, naming the field or the file that is wrong; disk_full.
    """
    begun = time.monotonic()
    listing = list_images(spec)
    rows = split_rows(spec, listing, seed)
    images = cached_images(listing, name=spec.name, size=size, cache=cache, progress=progress)
    train, val, test = (
        None if part is None else Split(images, part, listing.labels[part])
        for part in (rows.train, rows.val, rows.test)
    )
    assert train is not None and val is not None
    log.info("images of %d px at hand after %.2f s", size, time.monotonic() - begun)
    return ImageData(train, val, test, listing.class_names)
