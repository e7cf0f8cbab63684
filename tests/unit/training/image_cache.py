"""A small listing of images, and its cache."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from worker.training.data.cache import cached_images
from worker.training.data.listing import Listing


def pixels(i: int) -> np.ndarray:
    return np.full((8, 8, 3), i, np.uint8)


def listing(n: int = 20, read: Callable[[int], np.ndarray] = pixels) -> Listing:
    return Listing(("a", "b"), np.arange(n, dtype=np.int32) % 2, n, ("test",), read)


def cached(folder: Path, what: Listing, **arguments: object) -> np.ndarray:
    settings = {"name": "x", "size": 8, "cache": folder, "progress": lambda done, total: None, **arguments}
    return cached_images(what, **settings)  # type: ignore[arg-type]  # a test's shorthand
