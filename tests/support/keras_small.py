"""A network of one layer, and data of each kind, for tests of `baton.keras.fit` that stay in their process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import baton
import baton.keras
from baton.adapters.differences import first_difference
from baton.program.errors import Stopped
from baton.program.run import Run
from tests.support.cuts import Cut, Killed, cutting, kill_in_process
from tests.support.keras_programs import final

ROWS, BATCHES = 14, 4
"""Batches of four rows; the last one is smaller. A step takes 25 ms, so there are few."""
X = np.random.default_rng(0).normal(size=(ROWS, 3)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
NEVER = Cut("", 0, ())
TWICE = (Cut("kill", 5, (3,)), Cut("stop", 4, ()), NEVER)
"""A kill two points after a save, then a stop three points further on."""


def network(units: int = 1) -> Any:
    """A compiled network. It is not compiled to a graph, which would take longer than the training."""
    keras.utils.clear_session(free_memory=False)  # a collection of garbage takes longer than a training
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dropout(0.2), keras.layers.Dense(units)])
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse", run_eagerly=True)
    return model


def interrupted(folder: Path, train: Callable[[Run], Any], cuts: Sequence[Cut]) -> Any:
    """What the last attempt returns: each one builds everything anew."""
    for cut in cuts:
        with baton.init(folder) as run, cutting(cut, kill_in_process):
            try:
                return train(run)
            except (Killed, Stopped):
                continue
    raise AssertionError("no attempt ended")


def same_results(folder: Path, train: Callable[[Run], Any], *schedules: Sequence[Cut]) -> None:
    """Check that what `train` returns, and the rows, are the same to the bit under each schedule."""
    whole = interrupted(folder / "whole", train, [NEVER])
    for number, cuts in enumerate(schedules):
        part = folder / f"part-{number}"
        assert first_difference(whole, interrupted(part, train, cuts), "result") is None
        for name in ("history.csv", "series.csv"):
            assert (part / name).read_text() == (folder / "whole" / name).read_text()


def same_when_interrupted(folder: Path, train: Callable[[Run], Any], *schedules: Sequence[Cut]) -> None:
    """Check that the model that `train` returns, its history and its rows are the same to the bit."""

    def trained(run: Run) -> Any:
        model = train(run)
        return final(model), model.history.history

    same_results(folder, trained, *(schedules or [TWICE]))


class Threaded(keras.utils.PyDataset):
    """Batches that two threads make."""

    def __init__(self) -> None:
        super().__init__(workers=2)

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Any:
        return X[index * 4 : index * 4 + 4], Y[index * 4 : index * 4 + 4]


class Shuffling(keras.utils.PyDataset):
    """Batches of rows that it shuffles after each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = np.arange(ROWS)

    def __len__(self) -> int:
        return BATCHES

    def __getitem__(self, index: int) -> Any:
        rows = self.rows[index * 4 : index * 4 + 4]
        return X[rows], Y[rows]

    def on_epoch_end(self) -> None:
        np.random.shuffle(self.rows)


def tf_data() -> Any:
    """A data set of TensorFlow that shuffles itself anew in each epoch."""
    return tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(ROWS, seed=1).batch(4)


def generated() -> Iterator[Any]:
    """Batches without end. Their content depends on the generator that the program has seeded."""
    while True:
        rows = np.random.randint(0, ROWS, 4)
        yield X[rows], Y[rows]


def numbered(epoch: int) -> Iterator[Any]:
    """The batches of an epoch, for `baton.data.batches`."""
    rows = np.random.default_rng(epoch).permutation(ROWS)
    for first in range(0, ROWS, 4):
        yield X[rows[first : first + 4]], Y[rows[first : first + 4]]


KINDS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "arrays": (lambda: X, {"y": Y, "batch_size": 4}),
    "arrays over the end of an epoch": (lambda: X, {"y": Y, "batch_size": 4, "steps_per_epoch": 3}),
    "a PyDataset with threads": (Threaded, {}),
    "tf.data": (tf_data, {}),
    "tf.data without epochs": (tf_data, {"steps_per_epoch": 3}),
    "a generator": (generated, {"steps_per_epoch": 4}),
    "baton.data with threads": (lambda: baton.data.batches((X, Y), batch_size=4, seed=3, threads=2), {}),
    "baton.data without epochs": (lambda: baton.data.batches((X, Y), batch_size=4), {"steps_per_epoch": 3}),
    "baton.data of an iterable": (lambda: baton.data.batches(numbered), {}),
}
"""Data: what makes `x`, and the other arguments."""
