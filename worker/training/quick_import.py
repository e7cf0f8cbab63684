"""Imports TensorFlow and Keras without the optional packages that Keras imports for functions that no worker uses.

If scikit-learn and matplotlib are installed, Keras imports them for its estimators and its plots. That is a third of
the whole import. The worker uses both too, but only at the end of a training and in other modules.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

OPTIONAL = ("sklearn", "matplotlib")


def import_tensorflow() -> None:
    """Imports TensorFlow and Keras. Call it before the process has other threads, and before other imports of them.

    Afterwards Keras's estimators and plots say that their packages are not installed. Everything else can import these
    packages as usual.
    """
    with _absent(*OPTIONAL):
        import keras  # noqa: F401
        import tensorflow  # noqa: F401


@contextmanager
def _absent(*names: str) -> Iterator[None]:
    """Makes imports of the packages raise ImportError, except of those that are already imported."""
    missing = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(missing))  # type: ignore[arg-type]  # documented: None means "not importable"
    try:
        yield
    finally:
        for name in missing:
            del sys.modules[name]
