"""Keras: `model.fit` with BackupAndRestore, or `baton.keras.fit`: only that line differs.

Argument: `epoch` (BackupAndRestore's default), the number of batches between its saves, or `baton`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

import keras
import numpy as np

from bench.resume.keras_model import compiled, images, save_weights
from bench.resume.steps import BATCH, EPOCHS, PER_EPOCH, SAMPLES, Steps


class Shuffled(keras.utils.PyDataset):  # type: ignore[misc]  # Keras has no types
    """Shuffled batches, in the way of Keras's documentation: a new order at the end of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.y = images()
        self.random = np.random.default_rng(0)
        self.order = self.random.permutation(SAMPLES)

    def __len__(self) -> int:
        return PER_EPOCH

    def chosen(self, index: int) -> Any:
        """The samples of a batch."""
        return self.order[index * BATCH : (index + 1) * BATCH]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        chosen = self.chosen(index)
        return self.x[chosen], self.y[chosen]

    def on_epoch_end(self) -> None:
        """A new order."""
        self.order = self.random.permutation(SAMPLES)


class Told(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells of the steps. It comes after BackupAndRestore. It has no state: each attempt tells its own steps."""

    def __init__(self, data: Shuffled) -> None:
        super().__init__()
        self._data, self._epoch = data, 0
        self._steps: Steps | None = None

    def get_state(self) -> dict[str, Any]:
        """For Baton."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """For Baton."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keep the epoch."""
        del logs
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """A step is done, and perhaps saved. Before the first one, all was restored."""
        del logs
        self._steps = self._steps or Steps(int(self.model.optimizer.iterations) - 1)
        self._steps.done(self._epoch * PER_EPOCH + batch + 1, self._data.chosen(batch))


def main() -> None:
    """Train."""
    model, data, every = compiled(), Shuffled(), sys.argv[1]
    if every == "baton":
        fit = import_module("baton.keras").fit
        fit(model, data, epochs=EPOCHS, verbose=0, shuffle=False, callbacks=[Told(data)])
    else:
        backup = keras.callbacks.BackupAndRestore("backup", save_freq=every if every == "epoch" else int(every))
        model.fit(data, epochs=EPOCHS, verbose=0, shuffle=False, callbacks=[backup, Told(data)])
    save_weights(model, "final.npz")


if __name__ == "__main__":
    main()
