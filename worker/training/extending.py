"""What packages of users' own import: this module keeps its names.

A network is a function `(*, classes, width, seed, dropout, **options) -> keras.Model` to logits; a data set is
`(DatasetSpec) -> Listing`; an augmentation is `(images, seed) -> images`, uint8 [n, h, w, 3], decided by both alone.
"""

from baton.domain.spec import DatasetSpec
from worker.training.data.listing import Listing, bad_data, of_files

__all__ = ("DatasetSpec", "Listing", "bad_data", "of_files")
