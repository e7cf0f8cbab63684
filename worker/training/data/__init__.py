"""The data sets, by the names that a spec uses."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from baton.domain.downloads import Download
from baton.domain.spec import DatasetSpec
from worker.training.data.cache import cached_images
from worker.training.data.identity import identity_of
from worker.training.data.image_data import ImageData, Split
from worker.training.data.location import Told, on_disk
from worker.training.data.sources import list_images
from worker.training.data.splits import split_rows
from worker.training.data.summary import SplitSummary, summarize

__all__ = ["ImageData", "Split", "SplitSummary", "Told", "load_images", "summarize"]
log = logging.getLogger(__name__)


def _quiet(_text: str) -> None:
    """Tells nobody."""


def load_images(
    spec: DatasetSpec,
    *,
    size: int,
    cache: Path,
    seed: int,
    told: Told = _quiet,
    source: Download | None = None,
    roots: Sequence[Path] = (),
) -> ImageData:
    """A data set with images of `size` pixels a side, decoded once for each machine into the directory `cache`.

    The splits are decided by the labels and `seed`, so they are the same at every size. `told` hears in words how far
    downloading, unpacking and decoding are; it may raise to stop. `source`: where `dataset.download` gets it from.
    `roots`: the directories that `dataset.path` may lie in; none: anywhere.

    Raises:
        JobFailure: bad_data, naming the field or the file that is wrong; download_failed; disk_full; cache_unusable.
    """
    begun = time.monotonic()
    spec = on_disk(spec, cache=cache, told=told, source=source, roots=roots)
    listing = list_images(spec)
    rows = split_rows(spec, listing, seed)

    def progress(done: int, total: int) -> None:
        told(f"decoding images to {size} px: {done:,} of {total:,} ({done / total:.0%})")

    images = cached_images(listing, name=spec.name, size=size, cache=cache, progress=progress)
    train, val, test = (
        None if part is None else Split(images, part, listing.labels[part])
        for part in (rows.train, rows.val, rows.test)
    )
    assert train is not None and val is not None
    log.info("images of %d px at hand after %.2f s", size, time.monotonic() - begun)
    return ImageData(train, val, test, listing.class_names, identity_of(listing, rows, images))
