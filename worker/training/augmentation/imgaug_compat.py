"""imgaug 0.4.0, its last release (2020), on the NumPy of today. Take imgaug from here and from nowhere else.

What it misses, found by reading it and by running every augmenter in use: `np.sctypes` while it is imported (gone since
NumPy 2.0) and `np.bool` when it is called (gone in 1.24, back in 2.0 with the same meaning).
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

_SCTYPES = {
    "int": [np.int8, np.int16, np.int32, np.int64],
    "uint": [np.uint8, np.uint16, np.uint32, np.uint64],
    "float": [np.float16, np.float32, np.float64, np.longdouble],
}


def _import_repaired() -> tuple[ModuleType, Any, Any, Any]:
    numpy: Any = np
    borrowed = "sctypes" not in np.__dict__
    if borrowed:
        numpy.sctypes = _SCTYPES
    if "bool" not in np.__dict__:
        numpy.bool = np.bool_
    try:
        import imgaug
        from imgaug import augmenters, dtypes
        from imgaug.augmenters import geometric
    finally:
        if borrowed:
            del numpy.sctypes
    return imgaug, augmenters, dtypes, geometric


ia, iaa, dtypes, geometric = _import_repaired()
