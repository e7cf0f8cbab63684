"""1,797 real handwritten digits of 8x8 pixels that come with scikit-learn."""

from __future__ import annotations

import numpy as np

from baton.domain.spec import DatasetSpec
from worker.training.data.listing import Listing, kept_classes


def listing(spec: DatasetSpec) -> Listing:
    """Digits 0 to 9, scaled from 0..16 to 0..255, gray in three channels. `per_class` takes the first of each digit."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    names = kept_classes(spec, [str(digit) for digit in bunch.target_names], "digits")
    members = [np.flatnonzero(bunch.target == label)[: spec.per_class] for label in range(len(names))]
    rows = np.concatenate(members)
    pixels = np.round(bunch.images[rows] * (255 / 16)).astype(np.uint8)
    return Listing(
        class_names=tuple(names),
        labels=bunch.target[rows].astype(np.int32),
        training=len(rows),
        identity=("scikit-learn digits",),
        read=lambda i: np.repeat(pixels[i][..., None], 3, axis=2),
    )
