"""The identity of a loaded data set, computed from its listing, its split and the digests in the cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from baton.domain.data_identity import DIGEST_BYTES, DataIdentity
from baton.domain.text import same_everywhere
from worker.training.data.cache import content_digests
from worker.training.data.listing import Listing
from worker.training.data.splits import SplitRows


def identity_of(
    listing: Listing, rows: SplitRows, images: NDArray[np.uint8], without: Sequence[int] = ()
) -> DataIdentity:
    """The identity of the data, equal on all machines for the same job. `images`: from the cache of decoded images.

    `without`: rows of broken files, which are not part of the data. If such a file is repaired, it counts as added.
    """
    gone = set(without)
    kept = [row for row in range(len(listing.labels)) if row not in gone]
    names = _positional_names(listing) if listing.names is None else listing.names
    digests, parts = content_digests(images), _parts(len(listing.labels), rows)
    if gone:
        digests = b"".join(digests[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES] for row in kept)
    return DataIdentity(
        classes=tuple(map(same_everywhere, listing.class_names)),
        names=tuple(same_everywhere(names[row]) for row in kept),
        labels=tuple(listing.labels[kept].tolist()),
        parts="".join(parts[row] for row in kept),
        digests=digests,
    )


def _positional_names(listing: Listing) -> list[str]:
    """The class of each image and its number within the class, from 1."""
    seen = [0] * len(listing.class_names)
    found = []
    for label in listing.labels.tolist():
        seen[label] += 1
        found.append(f"{listing.class_names[label]}/{seen[label]}")
    return found


def _parts(images: int, rows: SplitRows) -> str:
    found = np.full(images, ord("-"), dtype=np.uint8)
    for key, part in (("T", rows.train), ("V", rows.val), ("E", rows.test)):
        if part is not None:
            found[part] = ord(key)
    return found.tobytes().decode("ascii")
