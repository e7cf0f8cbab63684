"""Detects values that are nan or infinite. A model with such values never becomes the best, and the job ends."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from baton.domain.errors import JobFailure
from baton.domain.reasons import Reason
from worker.checkpointing.snapshot import Arrays

ADVICE = (
    "Usual causes: a learning rate that is too high, a loss that divides by zero or takes the logarithm of zero, "
    "images with values that are not finite. Earlier checkpoints stay in the store"
)


def not_finite(what: str, step: int) -> JobFailure:
    """The failure that ends the job. `step`: the first global step, counted from 1, at which the value was found."""
    return JobFailure(Reason.NOT_FINITE, f"{what} at step {step}. {ADVICE}")


def first_bad_value(values: Mapping[str, float]) -> str | None:
    """The first value that is not finite, as text. None if all are finite.

    >>> first_bad_value({"loss": 0.5, "val_loss": float("nan")})
    'val_loss is nan'
    """
    return next((f"{name} is {value}" for name, value in values.items() if not np.isfinite(value)), None)


def first_bad_array(arrays: Arrays) -> str | None:
    """The name of the first float array that holds a non-finite value. None if all values are finite.

    A float64 sum of finite values of float32 or a narrower type is finite, so one sum per array is enough.
    """
    for name, array in arrays.items():
        # numpy treats bfloat16 as a separate type of kind V. Its sum in float64 works the same way.
        if array.dtype.kind in "fV" and not np.isfinite(array.sum(dtype=np.float64)):
            return name
    return None
