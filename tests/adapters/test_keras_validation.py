"""Validation data whose order depends on the validations before: under drawn interruptions, the same to the bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import baton
import baton.keras
from baton.program.errors import ProgramError
from baton.program.run import Run
from tests.support.cuts import SCHEDULES, Cut, drawn
from tests.support.keras_small import (
    BATCHES,
    NEVER,
    ROWS,
    Shuffling,
    X,
    Y,
    generated,
    interrupted,
    network,
    numbered,
    same_when_interrupted,
    tf_data,
)

EPOCHS, POINTS = 4, 24
"""Points: steps, the steps of the validations, and one at the end of each epoch."""


class Noisy(Shuffling):
    """Batches that draw from NumPy's generator, of rows in an order that each validation changes."""

    def __getitem__(self, index: int) -> Any:
        x, y = super().__getitem__(index)
        return x + np.random.normal(size=x.shape).astype("float32"), y

    def on_epoch_begin(self) -> None:
        self.rows = np.roll(self.rows, 1)


def noisy_tf_data() -> Any:
    """A data set whose samples depend on how many were read before."""
    generator = tf.random.Generator.from_seed(1)
    data = tf.data.Dataset.from_tensor_slices((X, Y)).map(lambda x, y: (x + generator.normal((3,)), y))
    data.generator = generator  # the data set does not keep it alive
    return data.batch(8)


KINDS: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "a PyDataset that shuffles itself": (Noisy, {"validation_steps": 2}),
    "tf.data that shuffles itself": (tf_data, {"validation_steps": 2}),
    "tf.data with random numbers": (noisy_tf_data, {}),
    "a generator": (generated, {"validation_steps": 3}),
    "baton.data of an iterable": (lambda: baton.data.batches(numbered), {"validation_freq": 2}),
    "baton.data without a whole pass": (lambda: baton.data.batches((X, Y), batch_size=4), {"validation_steps": 2}),
    "arrays without a whole pass": (lambda: (X, Y), {"validation_steps": 2, "validation_batch_size": 4}),
}
"""Validation data: what makes it, and the other arguments."""


def check(folder: Path, kind: str, seed: int) -> None:
    """Train under the schedule of this seed."""
    make, options = KINDS[kind]
    # A generator for the training too: both draw from the generator of NumPy, one after the other.
    made = {"steps_per_epoch": 4} if make is generated else {"y": Y, "batch_size": 6}

    def train(run: Run) -> Any:
        model = network()
        x = generated() if make is generated else X
        baton.keras.fit(model, x, epochs=EPOCHS, verbose=0, validation_data=make(), run=run, **made, **options)
        return model

    same_when_interrupted(folder, train, list(drawn(seed, POINTS)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_validation_has_the_batches_that_it_would_have_had(tmp_path: Path, kind: str) -> None:
    check(tmp_path, kind, seed=29)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_many_schedules(tmp_path: Path, kind: str) -> None:
    for seed in range(SCHEDULES):
        check(tmp_path / str(seed), kind, seed)


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: tf.data.Dataset.from_tensor_slices((X, Y)).batch(4), []),
        (tf_data, []),
        (noisy_tf_data, ["validation_data has no indices, so 4 batches were read again in "]),
    ],
)
def test_validations_are_read_again_only_where_they_must(tmp_path: Path, make: Any, expected: list[str]) -> None:
    def train(run: Run) -> None:
        baton.keras.fit(network(), X, Y, batch_size=11, epochs=3, verbose=0, validation_data=make(), run=run)

    steps = 2 if make is noisy_tf_data else BATCHES
    interrupted(tmp_path, train, [Cut("stop", 2 * (3 + steps) + 1, ()), NEVER])
    notes = tmp_path / "notes.txt"
    found = notes.read_text().splitlines() if notes.exists() else []
    assert [one[: len(text)] for one, text in zip(found, expected, strict=True)] == expected


def test_a_generator_needs_validation_steps(tmp_path: Path) -> None:
    with baton.init(tmp_path) as run, pytest.raises(ProgramError, match=r"validation_data: a generator .* give val"):
        baton.keras.fit(network(), X, Y, validation_data=generated(), run=run)


def test_each_validation_of_a_source_has_all_batches(tmp_path: Path) -> None:
    def losses(data: Any) -> list[float]:
        model = network()
        with baton.init(tmp_path / type(data).__name__) as run:
            fit = baton.keras.fit(model, X, Y, epochs=3, verbose=0, shuffle=False, validation_data=data, run=run)
        return list(fit.history["val_loss"])

    source = baton.data.batches((X, Y), batch_size=ROWS // 2, shuffle=False)
    assert losses(source) == pytest.approx(losses((X, Y)), rel=1e-5)
