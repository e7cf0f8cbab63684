"""The progress that a heartbeat reports."""

from __future__ import annotations

PROGRESS = {
    "stage": 1,
    "stages": 2,
    "epoch": 1,
    "epochs": 3,
    "step": 5,
    "steps": 10,
    "global_step": 5,
    "total_steps": 20,
    "images_per_second": 12.5,
    "eta_seconds": 3.0,
}
