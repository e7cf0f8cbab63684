"""Imports imgaug 0.4.0, its last release (2020), with current NumPy. All other modules import imgaug from here.

imgaug uses two names that NumPy removed: `np.sctypes` when it is imported (removed in NumPy 2.0), and `np.bool` when it
is called (removed in 1.24, added again in 2.0 with the same meaning).
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


def _import_patched() -> tuple[ModuleType, Any, Any, Any]:
    numpy: Any = np
    patched = "sctypes" not in np.__dict__
    if patched:
        numpy.sctypes = _SCTYPES
    if "bool" not in np.__dict__:
        numpy.bool = np.bool_
    try:
        import imgaug
        from imgaug import augmenters, dtypes
        from imgaug.augmenters import geometric
    finally:
        if patched:
            del numpy.sctypes
    return imgaug, augmenters, dtypes, geometric


ia, iaa, dtypes, geometric = _import_patched()
