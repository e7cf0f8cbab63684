"""What `fit` tells the run: points for each step, a row for each epoch."""

from __future__ import annotations

import math
import re
from typing import Any

import keras
import numpy as np
from keras.src.utils.python_utils import pythonify_logs

from baton.program.run import Run

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_./-]+")


def plain_logs(logs: Any) -> dict[str, Any]:
    """The metrics as Python numbers. What is not a number becomes an array."""
    found = pythonify_logs(logs if isinstance(logs, dict) else {})
    return {name: value if isinstance(value, float) else np.asarray(value) for name, value in found.items()}


def metrics_of(logs: Any) -> dict[str, float]:
    """The metrics that a run accepts: finite numbers, with allowed characters in the names.

    >>> metrics_of({"loss": 0.5, "top 5": 0.25, "broken": math.nan})
    {'loss': 0.5, 'top_5': 0.25}
    """
    return {
        _NOT_ALLOWED.sub("_", name): value
        for name, value in plain_logs(logs).items()
        if isinstance(value, float) and math.isfinite(value)
    }


class StepLog:
    """Adds the metrics of each step to the series, one step late: reading them at once would wait for the device."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: tuple[int, Any] | None = None

    def add(self, step: int, logs: Any) -> None:
        """The metrics of this step, and write those of the step before."""
        before, self._waiting = self._waiting, (step, logs)
        self._write(before)

    def flush(self) -> None:
        """Write all."""
        before, self._waiting = self._waiting, None
        self._write(before)

    def _write(self, one: tuple[int, Any] | None) -> None:
        if one is not None:
            self._run.log(metrics_of(one[1]), step=one[0])


class Rows(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Adds a row to the history of the run after each epoch. It comes after the user's callbacks, which may add values.

    `offset`: added to the number of the epoch. `steps`: steps finished, set before the end of each epoch.
    """

    def __init__(self, run: Run, offset: int) -> None:
        super().__init__()
        self._run, self._offset, self.steps = run, offset, 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the row."""
        self._run.epoch(metrics_of(logs), epoch=self._offset + epoch + 1, step=self.steps)

    def get_state(self) -> None:
        """Nothing: the loop sets all of it."""

    def set_state(self, state: None) -> None:
        """Nothing."""
