"""The networks, data sets and augmentations that come with Baton, by name. It does not import TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from baton.domain.downloads import Checksum, Download


@dataclass(frozen=True)
class NetworkInfo:
    """Description of a network for clients. `size_multiple`: image sizes in pixels must be divisible by it."""

    name: str
    title: str
    parameters: int
    trainable_parameters: int
    size_multiple: int
    source: str


@dataclass(frozen=True)
class DatasetInfo:
    """Description of a data set for clients.

    `classes`: None if it depends on the directory. `training`: for each class, the number of images before the split;
    None if it depends on the directory. `download`: the source for `dataset.download: true`, unless the worker's
    settings name another.
    """

    name: str
    title: str
    needs_path: bool
    classes: int | None
    download: Download | None = None
    training: tuple[int, ...] | None = None

    @property
    def downloadable(self) -> bool:
        """Whether a worker can download it."""
        return self.download is not None


PAPER = "Abai and Rajmalwar, DenseNet Models for Tiny ImageNet Classification, arXiv:1904.10429"

NETWORKS = {
    "network-1": NetworkInfo("network-1", "five convolutions per block", 17_927_040, 17_916_784, 8, PAPER),
    "network-2": NetworkInfo("network-2", "four equally wide convolutions per block", 11_822_920, 11_812_680, 8, PAPER),
    "tiny-cnn": NetworkInfo("tiny-cnn", "two convolutions, to try things out in seconds", 32_776, 32_584, 8, "Baton"),
}
# Size and MD5 that the loaders of several public projects have for this file.
TINY_IMAGENET_ZIP = Download(
    file="tiny-imagenet-200.zip",
    url="http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    bytes=248_100_043,
    checksum=Checksum("md5", "90528d7ca1a48142e341f4ef8d21d0de"),
    advice="set BATON_TINY_IMAGENET_URL to a mirror, and BATON_TINY_IMAGENET_CHECKSUM to the checksum of its file",
)

DIGITS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
DATASETS = {
    "digits": DatasetInfo("digits", "1,797 handwritten digits that come with scikit-learn", False, 10, None, DIGITS),
    "tiny-imagenet-200": DatasetInfo(
        "tiny-imagenet-200", "Tiny ImageNet in its official layout", True, 200, TINY_IMAGENET_ZIP, (500,) * 200
    ),
    "image-folder": DatasetInfo("image-folder", "one folder for each class", True, None),
}
MAX_PIXELS = 178_956_970
"""The most pixels of an image that a worker decodes by default. Pillow refuses images above the same limit."""

AUGMENTATIONS = ("none", "paper-1", "paper-2")
