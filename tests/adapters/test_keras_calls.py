"""Several calls of `baton.keras.fit` in one program: after a restart, those that had ended give back what they left."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import baton
import baton.keras
from baton.program.run import Run
from tests.support.cuts import SCHEDULES, Cut, drawn
from tests.support.keras_programs import final
from tests.support.keras_small import (
    NEVER,
    Shuffling,
    X,
    Y,
    generated,
    interrupted,
    network,
    same_results,
    same_when_interrupted,
)

FOLDS = 2


def k_fold(run: Run, files: Path) -> list[Any]:
    """Trains a network on each fold, with its best weights in a file. Returns what the program sees after each call."""
    shutil.rmtree(files, ignore_errors=True)  # as on another machine
    found = []
    for fold in range(FOLDS):
        held = np.arange(len(X)) % FOLDS == fold
        keras.utils.clear_session(free_memory=False)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.2), keras.layers.Dense(1)])
        model.compile(keras.optimizers.Adam(0.1), "mse", metrics=["mae"], run_eagerly=True)
        stopping = keras.callbacks.EarlyStopping(patience=1, restore_best_weights=True)
        best = keras.callbacks.ModelCheckpoint(
            files / f"{fold}.weights.h5", save_best_only=True, save_weights_only=True
        )
        logger = keras.callbacks.CSVLogger(files / f"{fold}.csv")
        files.mkdir(exist_ok=True)
        history = baton.keras.fit(
            model, X[~held], Y[~held], batch_size=8, epochs=2, verbose=0, validation_data=(X[held], Y[held]),
            callbacks=[stopping, best, logger], run=run,
        )  # fmt: skip
        ended = final(model)
        model.load_weights(files / f"{fold}.weights.h5")
        score = model.evaluate(X[held], Y[held], verbose=0, return_dict=True)
        drawn_numbers = [np.random.normal(), float(keras.random.normal(()))]
        rows = (files / f"{fold}.csv").read_text()
        found.append((ended, history.history, history.epoch, score, stopping.best_epoch, rows, drawn_numbers))
    return found


def fine_tuned(run: Run, files: Path) -> list[Any]:
    """Trains the head, then all layers of the same network with another optimizer. Both write the same file."""
    shutil.rmtree(files, ignore_errors=True)
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(3)
    base = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()])
    base.trainable = False
    model = keras.Sequential([base, keras.layers.Dropout(0.2), keras.layers.Dense(1)])
    found = []
    for rate, data in ((0.1, Shuffling()), (0.01, generated())):
        model.compile(keras.optimizers.Adam(rate), "mse", run_eagerly=True)
        newest = keras.callbacks.ModelCheckpoint(files / "newest.keras")
        done = baton.keras.fit(model, data, steps_per_epoch=5, epochs=2, verbose=0, callbacks=[newest], run=run)
        score = model.evaluate(X, Y, verbose=0)
        found.append((final(model), done.history, score, len(model.trainable_variables)))
        kept = keras.saving.load_model(files / "newest.keras", compile=False)
        found.append([one.tolist() for one in kept.get_weights()])
        base.trainable = True
    return found


PROGRAMS: dict[str, tuple[Callable[[Run, Path], list[Any]], int]] = {
    "k-fold": (k_fold, FOLDS * 8),
    "fine-tuning": (fine_tuned, 2 * 12),
}
"""Programs, and their points."""


def check(folder: Path, name: str, seed: int) -> None:
    """Train under the schedule of this seed."""
    program, points = PROGRAMS[name]

    def train(run: Run) -> list[Any]:
        keras.utils.set_random_seed(0)
        return program(run, folder / "files")

    last = Cut("stop", points // 2 + 3, (points // 2 - 2,))
    same_results(folder, train, [last, Cut("kill", 4, (2,)), NEVER] if seed < 0 else list(drawn(seed, points)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_a_program_sees_after_a_call_that_had_ended(tmp_path: Path, name: str) -> None:
    check(tmp_path, name, seed=-1)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_many_schedules(tmp_path: Path, name: str) -> None:
    for seed in range(SCHEDULES):
        check(tmp_path / str(seed), name, seed)


@pytest.mark.parametrize("make", [lambda: X, Shuffling])
def test_two_calls_with_one_data_set(tmp_path: Path, make: Any) -> None:
    def train(run: Run) -> Any:
        model, data = network(), make()
        options = {"y": Y, "batch_size": 4} if data is X else {}
        first = baton.keras.fit(model, data, epochs=2, verbose=0, run=run, **options)
        assert first.epoch == [0, 1]
        model.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=True)
        baton.keras.fit(model, data, epochs=4, initial_epoch=2, verbose=0, run=run, **options)
        return model

    same_when_interrupted(tmp_path, train, [Cut("kill", 5, (2,)), Cut("stop", 12, ()), Cut("kill", 5, (2,)), NEVER])


def test_more_epochs_for_a_call_that_had_ended(tmp_path: Path) -> None:
    def train(run: Run, epochs: int = 1) -> int:
        fits = [baton.keras.fit(network(), X, Y, epochs=epochs, verbose=0, run=run) for _ in range(2)]
        return len(fits[0].epoch)

    interrupted(tmp_path, train, [NEVER])
    with baton.init(tmp_path) as run:
        assert train(run, epochs=2) == 1
    text = "left its model as at that time: it ended with epochs=1, and epochs=2 has no effect"
    assert text in (tmp_path / "notes.txt").read_text()
