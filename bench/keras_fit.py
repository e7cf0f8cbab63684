"""The same network on the same data in plain `model.fit`, with Keras's checkpoint callbacks."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from baton.domain.spec import parse_classifier
from bench.windows import ROUNDS_AT_LEAST, Kind, Mark, Rounds
from worker.training.data import load_images
from worker.training.input.batch_plan import BatchPlan
from worker.training.step.networks import build_network
from worker.training.step.optimizers import make_optimizer

STEPS, SAVE_AFTER = 7, 4
KINDS = (Kind.QUIET, Kind.BACKUP, Kind.QUIET, Kind.MODEL)


class Clock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Records when each step ended."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[Mark] = []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record the time."""
        del batch, logs
        self.marks.append(Mark.now())


class Fit:
    """One compiled model. Each window is a call of `fit` that saves once or never."""

    def __init__(self, spec: Mapping[str, Any], folder: Path) -> None:
        parsed = parse_classifier(dict(spec))
        stage = parsed.stages[0]
        data = load_images(parsed.dataset, size=stage.image_size, cache=folder / "cache", seed=parsed.seed)
        self._plan = BatchPlan(data.train, "none", parsed.seed, 0, stage.batch_size, 1_000_000)
        self._folder, self._batch = folder, 0
        self._model = build_network(parsed, len(data.class_names))
        self._model.compile(
            make_optimizer(parsed.optimizer),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=False,
        )
        self.stalls: dict[Kind, list[float]] = {Kind.BACKUP: [], Kind.MODEL: []}

    def window(self, kind: Kind) -> tuple[Mark, Mark]:
        """Begin and end of all steps except the first, which prepares the data."""
        before, after = Clock(), Clock()
        saver = self._saver(kind)
        callbacks = [before, *([saver] if saver else []), after]
        self._model.fit(self._batches(), steps_per_epoch=STEPS, epochs=1, verbose=0, shuffle=False, callbacks=callbacks)
        if saver:
            waits = [b.clock - a.clock for a, b in zip(before.marks, after.marks, strict=True)]
            self.stalls[kind].append(max(waits))
        return after.marks[0], after.marks[-1]

    def _batches(self) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int32]]]:
        while True:
            images, labels = self._plan.images(0, self._batch), self._plan.labels(0, self._batch)
            self._batch += 1
            yield np.divide(images, 255, dtype=np.float32), labels

    def _saver(self, kind: Kind) -> keras.callbacks.Callback | None:
        if kind is Kind.BACKUP:
            return keras.callbacks.BackupAndRestore(str(self._folder / "backup"), save_freq=SAVE_AFTER)
        if kind is Kind.MODEL:
            return keras.callbacks.ModelCheckpoint(str(self._folder / "model.keras"), save_freq=SAVE_AFTER)
        return None


def run(spec: Mapping[str, Any], folder: Path, seconds: float) -> tuple[Rounds, dict[Kind, list[float]]]:
    """Run windows for the given seconds. Returns the windows and the stalls of the callbacks."""
    fit, rounds = Fit(spec, folder), Rounds(KINDS, STEPS - 1)
    for kind in KINDS:  # a warm-up, which compiles and builds
        fit.window(kind)
    fit.stalls = {kind: [] for kind in fit.stalls}
    end = time.perf_counter() + seconds
    while len(rounds.seconds) < ROUNDS_AT_LEAST or time.perf_counter() < end:
        for kind in rounds.draw():
            rounds.add(kind, *fit.window(kind))
    return rounds, fit.stalls
