"""The listing of each data set that a spec can name."""

from __future__ import annotations

from core.domain.spec import DatasetSpec
from worker.training.data import digits, image_folder, tiny_imagenet
from worker.training.data.listing import Listing

_SOURCES = {
    "digits": digits.listing,
    "image-folder": image_folder.listing,
    "tiny-imagenet-200": tiny_imagenet.listing,
}


def list_images(spec: DatasetSpec) -> Listing:
    """What the data set holds; nothing is decoded yet.

    Raises:
        JobFailure: bad_data, naming the field or the file.
    """
    return _SOURCES[spec.name](spec)
