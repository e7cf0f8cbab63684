"""The job and a batch of a small engine, and its arrays as bytes."""

from __future__ import annotations

import numpy as np

from baton.domain.spec import JobSpec, parse_spec
from worker.checkpointing.snapshot import Arrays

CLASSES, BATCH = 10, 4
IMAGES = np.random.default_rng(0).integers(0, 255, (BATCH, 8, 8, 3), dtype=np.uint8)
LABELS = np.arange(BATCH, dtype=np.int32)


def spec(network: str) -> JobSpec:
    stage = {"image_size": 8, "batch_size": BATCH, "epochs": 1}
    network_spec = {"name": network, "width": 0.02, "dropout": 0.2}
    return parse_spec({"name": "n", "network": network_spec, "dataset": {"name": "digits"}, "stages": [stage]})


def contents(arrays: Arrays) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    return {name: (str(a.dtype), a.shape, a.tobytes()) for name, a in arrays.items()}
