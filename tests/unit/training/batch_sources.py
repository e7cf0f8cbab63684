"""A source of batches of a small split."""

from typing import Any

import numpy as np

from worker.training.data import Split
from worker.training.input.host_source import BatchSource

SETTINGS: dict[str, Any] = {"policy": "paper-2", "seed": 5, "stage": 1, "batch_size": 6, "steps_per_epoch": 4}


def small_split(n: int = 14) -> Split:
    images = np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    return Split.of(images, np.arange(n, dtype=np.int32))


def open_source(processes: int, **changes: Any) -> BatchSource:
    return BatchSource(small_split(), processes=processes, **{**SETTINGS, **changes})
