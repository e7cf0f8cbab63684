"""Loads the data sets that a spec can name."""

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
from worker.training.data.location import Report, on_disk
from worker.training.data.sources import list_images
from worker.training.data.splits import split_rows
from worker.training.data.summary import SplitSummary, summarize

__all__ = ["ImageData", "Report", "Split", "SplitSummary", "load_images", "summarize"]
log = logging.getLogger(__name__)


def load_images(
    spec: DatasetSpec,
    *,
    size: int,
    cache: Path,
    seed: int,
    report: Report = lambda _text: None,
    source: Download | None = None,
    roots: Sequence[Path] = (),
) -> ImageData:
    """A data set with images of `size` pixels a side, decoded once for each machine into the directory `cache`.

    The labels and `seed` decide the splits, so they are the same at every size. `report`: called with texts about the
    progress of downloading, unpacking and decoding; it may raise to stop. `source`: the source for `dataset.download`.
    `roots`: the directories that may contain `dataset.path`; none: any.

    Raises:
        JobFailure: bad_data, naming the field or the file that is wrong; download_failed; disk_full; cache_unusable.
    """
    begun = time.monotonic()
    spec = on_disk(spec, cache=cache, report=report, source=source, roots=roots)
    listing = list_images(spec)
    rows = split_rows(spec, listing, seed)

    def progress(done: int, total: int) -> None:
        report(f"decoding images to {size} px: {done:,} of {total:,} ({done / total:.0%})")

    images = cached_images(listing, name=spec.name, size=size, cache=cache, progress=progress)
    train, val, test = (
        None if part is None else Split(images, part, listing.labels[part])
        for part in (rows.train, rows.val, rows.test)
    )
    assert train is not None and val is not None
    log.info("loaded the images of %d px in %.2f s", size, time.monotonic() - begun)
    return ImageData(train, val, test, listing.class_names, identity_of(listing, rows, images))
