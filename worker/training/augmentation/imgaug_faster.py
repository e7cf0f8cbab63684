"""imgaug with two needless costs taken out, and not one byte changed.

It builds four constant matrices anew for each image that Affine moves, and asks for each image and augmenter, through
sets of strings, whether uint8 is a type that it can handle.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import skimage.transform

from worker.training.augmentation.imgaug_compat import dtypes, geometric

transform: Any = skimage.transform
_UINT8 = np.dtype(np.uint8)
_gate = dtypes.gate_dtypes


class _Transforms:
    """skimage.transform as imgaug's Affine uses it: what is never changed is made once."""

    def __getattr__(self, name: str) -> Any:
        return getattr(transform, name)

    @staticmethod
    def SimilarityTransform(translation: list[float]) -> Any:  # noqa: N802 - skimage's name
        return _moved(*translation)

    @staticmethod
    def AffineTransform(**given: Any) -> Any:  # noqa: N802 - skimage's name
        if given.keys() == {"rotation"} or given == {"shear": 0}:
            return _turned_or_as_it_is(given.get("rotation", 0.0))
        return transform.AffineTransform(**given)


@lru_cache(maxsize=64)
def _moved(x: float, y: float) -> Any:
    return transform.SimilarityTransform(translation=[x, y])


@lru_cache(maxsize=64)
def _turned_or_as_it_is(rotation: float) -> Any:
    return transform.AffineTransform(rotation=rotation) if rotation else transform.AffineTransform(shear=0.0)


def _gate_dtypes(kinds: Any, allowed: list[str], disallowed: list[str], augmenter: Any = None) -> None:
    """Nothing for images of uint8 where they are allowed, as imgaug's own finds after a longer search."""
    if getattr(kinds, "dtype", kinds) is not _UINT8 or "uint8" not in allowed:
        _gate(kinds, allowed, disallowed, augmenter)


_TRANSFORMS = _Transforms()


@contextmanager
def faster() -> Iterator[None]:
    """Within it imgaug is faster, in all threads; outside it is what it was."""
    geometric.tf, dtypes.gate_dtypes = _TRANSFORMS, _gate_dtypes
    try:
        yield
    finally:
        geometric.tf, dtypes.gate_dtypes = transform, _gate
