"""Loads the data sets that a spec can name."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from baton.domain.downloads import Download
from baton.domain.errors import JobFailure
from baton.domain.spec import DatasetSpec
from baton.domain.text import safe
from worker.training.data.cache import broken_files, cached_images
from worker.training.data.identity import identity_of
from worker.training.data.image_data import ImageData, Split
from worker.training.data.left_out import LeftOut
from worker.training.data.location import Report, on_disk
from worker.training.data.remote import RemoteData
from worker.training.data.sources import list_images
from worker.training.data.splits import split_rows

__all__ = ["ImageData", "LeftOut", "RemoteData", "Report", "Split", "load_images"]
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
    remote: RemoteData | None = None,
) -> ImageData:
    """A data set with images of `size` pixels a side, decoded once for each machine into the directory `cache`.

    The labels and `seed` decide the splits, so the splits are the same at every size. `report`: called with texts about
    the progress of fetching, unpacking and decoding; it may raise to stop. `source`: the source for `dataset.download`.
    `roots`: the directories that may contain `dataset.path`; none: any. `remote`: fetches pushed data and URLs; the
    caller closes it when the images are no longer used.

    Raises:
        JobFailure: bad_data, naming the field or the files that are wrong; download_failed; disk_full; cache_unusable;
            store_refused and store_unavailable, for pushed data and buckets.
        StoreUnavailable: the store does not answer.
    """
    begun = time.monotonic()
    local = on_disk(spec, cache=cache, report=report, source=source, roots=roots, remote=remote)
    named = partial(_path_as_given, spec, local)
    try:
        data = _loaded(local, size, cache, seed, report)
    except JobFailure as error:
        raise JobFailure(error.reason, named(str(error))) from error
    log.info("loaded the images of %d px in %.2f s", size, time.monotonic() - begun)
    return replace(data, left_out=data.left_out.renamed(named))


def _loaded(spec: DatasetSpec, size: int, cache: Path, seed: int, report: Report) -> ImageData:
    listing = list_images(spec)
    split_rows(spec, listing, seed)  # reports a class that is too small before the images are decoded

    def progress(done: int, total: int) -> None:
        report(f"decoding images to {size} px: {done:,} of {total:,} ({done / total:.0%})")

    skip = spec.on_broken == "skip"
    images = cached_images(listing, name=spec.name, size=size, cache=cache, progress=progress, skip_broken=skip)
    broken = broken_files(images)
    rows = split_rows(spec, listing, seed, broken.rows)
    train, val, test = (
        None if part is None else Split(images, part, listing.labels[part])
        for part in (rows.train, rows.val, rows.test)
    )
    assert train is not None and val is not None
    identity = identity_of(listing, rows, images, broken.rows)
    return ImageData(train, val, test, listing.class_names, identity, listing.left_out + LeftOut(broken=broken))


def _path_as_given(spec: DatasetSpec, local: DatasetSpec, text: str) -> str:
    """Names files of an unpacked zip in the form `flowers.zip/cat/1.png`, not by their path in the cache."""
    if local.path is None or local.path == spec.path:
        return text
    return text.replace(safe(local.path), spec.path or spec.data or spec.name)
