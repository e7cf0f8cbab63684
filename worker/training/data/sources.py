"""The listing of each data set that a spec can name."""

from __future__ import annotations

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from baton.domain.spec import DatasetSpec
from worker.extensions import load
from worker.training.data import digits, image_folder, tiny_imagenet
from worker.training.data.listing import Listing

_SOURCES = {
    "digits": digits.listing,
    "image-folder": image_folder.listing,
    "tiny-imagenet-200": tiny_imagenet.listing,
}


def list_images(spec: DatasetSpec) -> Listing:
    """The listing of a data set. Nothing is decoded yet.

    Raises:
        JobFailure: bad_data, naming the field or the file; unsupported, an extension did not return a Listing.
    """
    if spec.name in _SOURCES:
        return _SOURCES[spec.name](spec)
    found = load("dataset", spec.name)(spec)
    if not isinstance(found, Listing):
        raise JobFailure(Reason.UNSUPPORTED, f"data set {spec.name} returned {type(found).__name__}, not a Listing")
    return found
