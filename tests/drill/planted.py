"""The planted faults, and what the drill must say of each."""

from __future__ import annotations

PLANTED = {
    "unsaved_ema": ("ema", "averaged"),
    "global_generator": ("generator", "numpy.random"),
    "iterator_position": ("iterator", "iterator"),
    "rate_by_time": ("clock", "start"),
    "set_order": ("set_order", "PYTHONHASHSEED"),
    "unsaved_schedule": ("schedule", "scheduler.calls"),
    "best_lost": ("best", "`best`"),
    "double_row": ("repeated_rows", "val_loss"),
    "dropped_batch": ("missing_data", "missing"),
    "stale_batch": ("cached_batch", "cached"),
}
"""Program -> the cause, and what the evidence names."""
VARY = {"rate_by_time", "set_order"}
"""These differ also without interruptions."""
EQUAL_CHECKPOINTS = {"double_row", "best_lost", "unsaved_ema"}
"""What differs in these is in no checkpoint."""
CORRECT = ("due", "background", "epochs")
"""The ways in which the correct program saves."""
