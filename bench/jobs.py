"""The job of the benchmarks: network 2, or 1, at a width that two cores can train, on the digits at 32 pixels."""

from __future__ import annotations

from typing import Any

WIDTHS = {"network-1": 0.1, "network-2": 0.25}
IMAGE_SIZE, BATCH_SIZE = 32, 32
ENDLESS = 1_000_000


def job(network: str = "network-2", width: float | None = None, **changes: Any) -> dict[str, Any]:
    """A spec of a job that trains for longer than any benchmark, and does nothing else."""
    stage = {"image_size": IMAGE_SIZE, "batch_size": BATCH_SIZE, "epochs": 1, "steps_per_epoch": ENDLESS}
    spec = {
        "name": "bench",
        "network": {"name": network, "width": width or WIDTHS[network]},
        "dataset": {"name": "digits"},
        "stages": [stage],
    }
    return {**spec, **changes}
