"""`baton.keras.fit` in one process: kinds of data, callbacks, several calls, and what it refuses."""

from __future__ import annotations

import doctest
import importlib
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import baton
import baton.keras
from baton.program.errors import ProgramError
from baton.program.run import Run
from tests.support.cuts import Cut
from tests.support.docstring_examples import NEED_KERAS
from tests.support.keras_small import (
    BATCHES,
    KINDS,
    NEVER,
    TWICE,
    Shuffling,
    X,
    Y,
    generated,
    interrupted,
    network,
    same_when_interrupted,
    tf_data,
)


@pytest.mark.parametrize("name", sorted(NEED_KERAS))
def test_examples_give_what_they_show(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name))
    assert (found.failed, found.attempted > 0) == (0, True)


@pytest.mark.parametrize("kind", KINDS)
def test_data_of_each_kind_continues_at_the_step(tmp_path: Path, kind: str) -> None:
    make, options = KINDS[kind]

    def train(run: Run) -> Any:
        model = network()
        baton.keras.fit(model, make(), epochs=2, verbose=0, **options, run=run)
        return model

    same_when_interrupted(tmp_path, train)


def test_a_replay_is_told(tmp_path: Path) -> None:
    def train(run: Run) -> None:
        baton.keras.fit(network(), tf_data(), epochs=2, verbose=0, run=run)

    interrupted(tmp_path, train, TWICE)
    first = (tmp_path / "notes.txt").read_text().splitlines()[0]
    assert first.startswith("x has no indices, so 3 batches were read again in ")
    assert "to reach step 3 of epoch 1" in first


def test_a_stop_inside_a_validation_and_after_it(tmp_path: Path) -> None:
    def train(run: Run) -> Any:
        model = network()
        callbacks = [keras.callbacks.EarlyStopping(patience=1), keras.callbacks.ReduceLROnPlateau(patience=1)]
        baton.keras.fit(
            model, X, Y, batch_size=8, epochs=3, verbose=2, callbacks=callbacks, validation_data=(X[:9], Y[:9]), run=run
        )
        return model

    same_when_interrupted(tmp_path, train, *([Cut("stop", point, ()), NEVER] for point in (2, 3, 4, 5)))


@pytest.mark.parametrize("make", [Shuffling, tf_data, generated])
def test_data_that_depends_on_the_epochs_before_continues_inside_a_validation(tmp_path: Path, make: Any) -> None:
    def train(run: Run) -> Any:
        model = network()
        options = {"steps_per_epoch": 3} if make is generated else {}
        baton.keras.fit(model, make(), epochs=3, verbose=0, validation_data=(X[:9], Y[:9]), run=run, **options)
        return model

    steps = 3 if make is generated else BATCHES
    same_when_interrupted(tmp_path, train, [Cut("stop", 2 * steps + 3, ()), NEVER])


def test_a_program_that_ended_does_not_train_again(tmp_path: Path) -> None:
    def train(run: Run) -> Any:
        model = network()
        history = baton.keras.fit(model, X, Y, epochs=2, verbose=0, run=run)
        return model.get_weights(), history.history

    first, again = (interrupted(tmp_path, train, [NEVER]) for _ in range(2))
    assert first[1] == again[1]
    assert all((one == two).all() for one, two in zip(first[0], again[0], strict=True))


def test_without_a_run_it_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    baton.keras.fit(network(), X, Y, epochs=2, verbose=0)
    baton.init("other").close()
    assert (tmp_path / ".baton-run" / "history.csv").read_text().count("\n") == 3


class Adversaries(keras.Model):
    """Two networks with an optimizer each, as in Keras's example of a GAN: it has no `call`."""

    def __init__(self) -> None:
        super().__init__()
        self.one = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
        self.two = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        self.loss_tracker = keras.metrics.Mean(name="loss")

    def compile(self, one: Any, two: Any) -> None:
        super().compile(run_eagerly=True)
        self.optimizer_one, self.optimizer_two = one, two

    def train_step(self, data: Any) -> Any:
        for part, optimizer, sign in ((self.one, self.optimizer_one, 1), (self.two, self.optimizer_two, -1)):
            with tf.GradientTape() as tape:
                loss = sign * tf.reduce_mean(tf.square(self.two(self.one(data[0])) - data[1]))
            variables = part.trainable_variables
            optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        self.loss_tracker.update_state(loss)
        return {"loss": self.loss_tracker.result()}


def test_optimizers_that_are_attributes_and_made_in_the_first_step(tmp_path: Path) -> None:
    def train(run: Run) -> Any:
        keras.utils.clear_session(free_memory=False)
        keras.utils.set_random_seed(0)
        model = Adversaries()
        model.compile(keras.optimizers.Adam(0.01), keras.optimizers.RMSprop(0.01))
        baton.keras.fit(model, X, Y, batch_size=4, epochs=2, verbose=0, run=run)
        return model

    same_when_interrupted(tmp_path, train)


def two_outputs(run: Run) -> Any:
    """A model with named inputs and outputs, with a loss, a metric and a weight for each output."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    inputs = {name: keras.Input((3,), name=name) for name in ("left", "right")}
    both = keras.layers.Dropout(0.2)(keras.layers.Add()(list(inputs.values())))
    outputs = {"sum": keras.layers.Dense(1, name="sum")(both), "kind": keras.layers.Dense(2, name="kind")(both)}
    model = keras.Model(inputs, outputs)
    losses = {"sum": "mse", "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    weights = {"sum": 1.0, "kind": 0.5}
    model.compile("adam", losses, metrics={"kind": "accuracy"}, loss_weights=weights, run_eagerly=True)
    x, y = {"left": X, "right": X[::-1].copy()}, {"sum": Y, "kind": (Y[:, 0] > 0).astype("int32")}
    held = ({name: one[:5] for name, one in x.items()}, {name: one[:5] for name, one in y.items()})
    baton.keras.fit(model, x, y, batch_size=8, epochs=2, verbose=0, validation_data=held, run=run)
    return model


def test_named_inputs_and_several_outputs(tmp_path: Path) -> None:
    same_when_interrupted(tmp_path, two_outputs)


class WithState(keras.callbacks.Callback):
    """A callback whose state is an object of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = {0}

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.add(max(self.seen) + 1)

    def get_state(self) -> Any:
        return {"seen": sorted(self.seen)}

    def set_state(self, state: Any) -> None:
        self.seen = set(state["seen"])


class WithAttributes(keras.callbacks.Callback):
    """A callback whose state are its attributes. One of them cannot be stored."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.rates, self.best, self.names = 0, [0.5], np.zeros(2), {"a"}
        self.mean = keras.metrics.Mean()
        self.others = [keras.optimizers.SGD(0.5), keras.random.SeedGenerator(1)]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.count += 1
        self.rates.append(self.rates[-1] / 2)
        self.best = self.best + 1
        self.mean.update_state(float(self.count))
        self.others[0].learning_rate.assign(self.rates[-1])
        self.others[1].next()


def test_callbacks_of_a_user(tmp_path: Path) -> None:
    def train(run: Run) -> Any:
        callbacks = WithState(), WithAttributes()
        baton.keras.fit(network(), X, Y, batch_size=4, epochs=2, verbose=0, callbacks=callbacks, run=run)
        return callbacks

    own, plain = interrupted(tmp_path, train, TWICE)
    assert own.seen == set(range(9))
    assert (plain.count, plain.rates[-1], plain.best.tolist()) == (8, 0.5**9, [8.0, 8.0])
    assert (float(plain.mean.result()), float(plain.others[0].learning_rate)) == (4.5, 0.5**9)
    assert plain.others[1].state.numpy().tolist() == [1, 8]
    notes = (tmp_path / "notes.txt").read_text()
    assert "cannot be saved and begin anew after a restart: WithAttributes.names." in notes


def test_files_of_callbacks_are_put_back(tmp_path: Path) -> None:
    def train(run: Run) -> None:
        callbacks = [
            keras.callbacks.CSVLogger(tmp_path / "rows.csv"),
            keras.callbacks.ModelCheckpoint(tmp_path / "kept" / "{epoch}.weights.h5", save_weights_only=True),
        ]
        baton.keras.fit(network(), X, Y, batch_size=8, epochs=3, verbose=0, callbacks=callbacks, run=run)

    interrupted(tmp_path / "whole", train, [NEVER])
    rows = (tmp_path / "rows.csv").read_bytes()
    with pytest.raises(AssertionError):
        interrupted(tmp_path / "parts", train, [Cut("stop", 5, ())])
    written = (tmp_path / "kept" / "1.weights.h5").read_bytes()
    (tmp_path / "rows.csv").unlink()  # as on another machine
    shutil.rmtree(tmp_path / "kept")
    interrupted(tmp_path / "parts", train, [NEVER])
    assert (tmp_path / "rows.csv").read_bytes() == rows
    assert (tmp_path / "kept" / "1.weights.h5").read_bytes() == written
    assert not (tmp_path / "parts" / "saves").joinpath("damaged").exists()


def test_a_table_that_is_appended_to_has_no_rows_of_a_lost_attempt(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"

    def train(run: Run) -> None:
        callbacks = [keras.callbacks.CSVLogger(file, append=True)]
        baton.keras.fit(network(), X, Y, batch_size=8, epochs=3, verbose=0, callbacks=callbacks, run=run)

    found = []
    for name, cuts in (("whole", [NEVER]), ("parts", [Cut("kill", 5, ()), Cut("kill", 9, (6,)), NEVER])):
        file.write_text("epoch,loss,val_loss\n0,1.5,NA\n")
        interrupted(tmp_path / name, train, cuts)
        found.append(file.read_text())
    assert found[0] == found[1]
    assert found[0].count("\n") == 5


def test_backup_and_restore_is_refused(tmp_path: Path) -> None:
    with baton.init(tmp_path / "run") as run, pytest.raises(ProgramError, match="BackupAndRestore"):
        callbacks = [keras.callbacks.BackupAndRestore(tmp_path / "backup")]
        baton.keras.fit(network(), X, Y, callbacks=callbacks, run=run)


def test_another_version_of_keras_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras, "__version__", "3.99.0")
    with baton.init(tmp_path / "run") as run, pytest.raises(ProgramError, match=r"this is Keras 3\.99\.0"):
        baton.keras.fit(network(), X, Y, run=run)


OPTIONS: dict[str, Any] = {
    "x": X, "y": Y, "batch_size": 4, "epochs": 2, "verbose": 0, "validation_data": (X, Y), "validation_steps": 2,
}  # fmt: skip
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"units": 2}, r"the variable sequential/dense/kernel \(float32, shape \(3, 2\)\) does not fit .* \(3, 1\)"),
    ({"batch_size": 5, "validation_batch_size": 4}, "fit: batch_size was 4 when the run was saved, and is 5 now"),
    ({"callbacks": [keras.callbacks.TerminateOnNaN()]}, "the save was made with Rows, History, and now there are"),
    ({"validation_data": None}, "kind of validation_data was arrays when .* and is nothing now"),
    ({"validation_data": (X[:9], Y[:9])}, "number of samples of validation_data was 14 when .* and is 9 now"),
    ({"validation_batch_size": 5}, "fit: validation_batch_size was 4 when .* and is 5 now"),
    ({"validation_steps": 1}, "validation_steps was 2 when .* and is 1 now"),
    ({"validation_freq": [2]}, r"validation_freq was 1 when .* and is \[2\] now"),
    ({"validation_data": None, "validation_split": 0.5}, "validation_split was 0.0 when .* and is 0.5 now"),
    ({"steps_per_epoch": 4}, "steps_per_epoch was None when .* and is 4 now"),
    ({"initial_epoch": 1}, "initial_epoch was 0 when .* and is 1 now"),
    ({"shuffle": False}, "order of x was .* and is as it is now"),
    ({"seed": 7}, "seed was 0 when .* and is 7 now"),
    ({"class_weight": {0: 2.0}}, r"class_weight was None when .* and is \[\[0, 2.0\]\] now"),
    ({"x": Shuffling(), "y": None}, "kind of x was arrays when .* and is a PyDataset now"),
]
"""What a program changes after a save, and the error."""


def test_a_save_of_another_program_is_refused(tmp_path: Path) -> None:
    def train(run: Run, **change: Any) -> None:
        options = {**OPTIONS, **change}
        baton.keras.fit(network(options.pop("units", 1)), **options, run=run)

    with pytest.raises(AssertionError):
        interrupted(tmp_path, train, [Cut("stop", 3, ())])
    for change, message in REFUSED:
        with baton.init(tmp_path) as run, pytest.raises(ProgramError, match=message):
            train(run, **change)


def test_another_batch_size_of_tf_data_is_refused(tmp_path: Path) -> None:
    def train(run: Run, size: int = 7) -> None:
        dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(size, drop_remainder=True)
        baton.keras.fit(network(), dataset, epochs=2, verbose=0, run=run)

    with pytest.raises(AssertionError):
        interrupted(tmp_path, train, [Cut("stop", 1, ())])
    with baton.init(tmp_path) as run, pytest.raises(ProgramError, match=r"; batch_size was 7 when .* and is 2 now"):
        train(run, size=2)


def test_a_save_that_fit_did_not_make_is_refused(tmp_path: Path) -> None:
    with baton.init(tmp_path) as run, run.save(step=1):
        pass
    with baton.init(tmp_path) as run, pytest.raises(ProgramError, match=r"was not made by baton\.keras\.fit"):
        baton.keras.fit(network(), X, Y, run=run)


def test_a_loss_that_is_not_a_number_is_no_point(tmp_path: Path) -> None:
    with baton.init(tmp_path) as run:
        baton.keras.fit(network(), X, Y * np.nan, batch_size=22, epochs=2, verbose=0, run=run)
    assert (tmp_path / "series.csv").read_text() == "name,step,value\n"
    assert json.loads(next((tmp_path / "saves").glob("*/save.json")).read_text())["step"] == 2
