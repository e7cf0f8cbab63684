"""The inputs of one training step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from worker.training.step.inputs import Change, Images
    from worker.training.step.records import Records


@dataclass(frozen=True, eq=False)
class Batch:
    """`images`: batch_size images; `labels`: int32 [batch_size]. `change`: the augmentation that the step must apply.

    `records`: the small inputs of the step, if they are already on the devices.
    """

    images: Images
    labels: NDArray[np.int32]
    change: Change | None = None
    records: Records | None = None
