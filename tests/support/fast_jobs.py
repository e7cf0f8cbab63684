"""Jobs for the fake trainer, which runs hundreds of steps a second. Labels control it (see fake_process)."""

from __future__ import annotations

from typing import Any


def fast(name: str = "fast", *, epochs: int = 3, steps: int = 20, every: int = 5, **changes: Any) -> dict[str, Any]:
    """A job of `epochs` times `steps` steps, with a checkpoint every `every` steps.

    `fake`: labels without their prefix.
    """
    fake = {f"fake/{key}": str(value) for key, value in changes.pop("fake", {}).items()}
    spec: dict[str, Any] = {
        "name": name,
        "network": {"name": "network-2", "width": 0.02},
        "dataset": {"name": "digits"},
        "stages": [{"image_size": 8, "batch_size": 16, "epochs": epochs, "steps_per_epoch": steps}],
        "checkpoint": {"every": f"{every} steps"},
        "retry": {"backoff": "0.1s"},
        "labels": {**fake, **changes.pop("labels", {})},
    }
    return {**spec, **changes}
