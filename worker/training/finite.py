"""Values that are nan or infinite: no model that holds one is ever the best, and no job goes on with one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from core.domain.errors import JobFailure
from core.domain.policies import Reason
from worker.checkpointing.snapshot import Arrays

ADVICE = (
    "Usual causes: a learning rate that is too high, a loss that divides by zero or takes the logarithm of zero, "
    "images with values that are not finite. The checkpoints from before stay in the store"
)


def not_finite(what: str, step: int) -> JobFailure:
    """The failure that ends the job. `step`: the global step, counted from 1, at which it was seen first."""
    return JobFailure(Reason.NOT_FINITE, f"{what} at step {step}. {ADVICE}")


def first_bad_value(values: Mapping[str, float]) -> str | None:
    """The first of the values that is not finite, in words; None: all are.

    >>> first_bad_value({"loss": 0.5, "val_loss": float("nan")})
    'val_loss is nan'
    """
    return next((f"{name} is {value}" for name, value in values.items() if not np.isfinite(value)), None)


def first_bad_array(arrays: Arrays) -> str | None:
    """The name of the first array of floats that holds a value that is not finite; None: all are finite.

    A sum in float64 is finite if all terms of float32 or a narrower type are: so one pass decides, without a mask.
    """
    for name, array in arrays.items():
        # numpy knows bfloat16 as a type of its own, of kind V; its sum is one of float64 as well.
        if array.dtype.kind in "fV" and not np.isfinite(array.sum(dtype=np.float64)):
            return name
    return None
