"""The names that extension packages import. These names do not change in later releases.

A network is a function `(*, classes, width, seed, dropout, **options) -> keras.Model` that gives logits. A data set is
a function `(DatasetSpec) -> Listing`. An augmentation is a pure function `(images, seed) -> images`, both uint8
[n, h, w, 3].
"""

from baton.domain.spec import DatasetSpec
from worker.training.data.failures import bad_data
from worker.training.data.listing import Listing, of_files

__all__ = ("DatasetSpec", "Listing", "bad_data", "of_files")
