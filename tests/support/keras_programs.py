"""Small training programs with `baton.keras.fit`. Each builds everything anew, as a program that is started again.

`python -m tests.support.keras_programs NAME FOLDER` trains one in the folder FOLDER/run and writes FOLDER/final.npz,
final.json and the files of its callbacks. KERAS_BACKEND chooses the backend.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import baton
import baton.keras
from baton.keras.variables import tracked

Fit = Callable[..., Any]
COMPILED: dict[str, Any] = {} if keras.backend.backend() == "jax" else {"jit_compile": False}
"""For all but one program: on TensorFlow, XLA takes a third of the time of a short attempt."""


class Counter(keras.callbacks.Callback):
    """A callback of a user: it counts, and changes the weight decay of nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.batches, self.sums, self.begun = 0, [0.0], 0

    def on_train_begin(self, logs: Any = None) -> None:
        self.begun += 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.batches += 1
        self.sums[0] += logs["loss"]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs["counted"] = float(self.batches)


def cnn(fit: Fit, folder: Path) -> Any:
    """A convolution with dropout and batch normalisation; a plateau, early stopping, a checkpoint, a table."""
    keras.utils.set_random_seed(1)
    data = np.random.default_rng(0)
    x, y = data.normal(size=(70, 8, 8, 1)).astype("float32"), data.integers(0, 3, 70)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.RandomFlip(),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    callbacks = [
        keras.callbacks.ReduceLROnPlateau(factor=0.5, patience=1, min_delta=0.05),
        keras.callbacks.EarlyStopping(patience=3, restore_best_weights=True),
        keras.callbacks.ModelCheckpoint(folder / "best.weights.h5", save_best_only=True, save_weights_only=True),
        keras.callbacks.CSVLogger(folder / "rows.csv"),
        Counter(),
    ]
    fit(
        model,
        x,
        y,
        batch_size=8,
        epochs=6,
        verbose=0,
        callbacks=callbacks,
        validation_split=0.25,
        class_weight={0: 1.0, 1: 2.0, 2: 0.5},
    )
    return model


def lstm(fit: Fit, folder: Path) -> Any:
    """Text as numbers, from a PyDataset that shuffles itself and draws from NumPy's generator; validation at times."""
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(20, 4),
            keras.layers.LSTM(5, dropout=0.2, recurrent_dropout=0.1),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.05, 40)
    model.compile(keras.optimizers.RMSprop(schedule), "binary_crossentropy", metrics=["accuracy"], **COMPILED)
    callbacks = [keras.callbacks.TerminateOnNaN(), keras.callbacks.LambdaCallback()]
    held = (np.arange(60).reshape(10, 6) % 20, np.arange(10) % 2)
    fit(
        model, Words(), epochs=4, verbose=0, callbacks=callbacks, validation_data=held, validation_freq=2,
        validation_batch_size=3,
    )  # fmt: skip
    return model


class Words(keras.utils.PyDataset):
    """Ten batches. Their content depends on the order that `on_epoch_end` makes."""

    def __init__(self) -> None:
        super().__init__()
        data = np.random.default_rng(5)
        self.words, self.labels = data.integers(0, 20, (40, 6)), data.integers(0, 2, (40, 1))
        self.order = np.arange(40)

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        chosen = self.order[index * 4 : index * 4 + 4]
        words = self.words[chosen].copy()
        words[np.random.rand(*words.shape) < 0.1] = 0
        return words, self.labels[chosen]

    def on_epoch_end(self) -> None:
        np.random.shuffle(self.order)


def regression(fit: Fit, folder: Path) -> Any:
    """Two inputs with sample weights; AdamW with EMA that is swapped for each validation; a schedule by epoch."""
    keras.utils.set_random_seed(3)
    data = np.random.default_rng(1)
    x = {"a": data.normal(size=(50, 3)).astype("float32"), "b": data.normal(size=(50, 2)).astype("float32")}
    y = x["a"][:, :1] - x["b"][:, :1]
    inputs = {name: keras.Input((width,), name=name) for name, width in (("a", 3), ("b", 2))}
    hidden = keras.layers.Dense(6, activation="gelu")(keras.layers.Concatenate()(list(inputs.values())))
    model = keras.Model(inputs, keras.layers.Dense(1)(keras.layers.GaussianNoise(0.1)(hidden)))
    optimizer = keras.optimizers.AdamW(0.02, use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=7)
    model.compile(optimizer, "mse", weighted_metrics=["mae"], **COMPILED)
    callbacks = [
        keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.9),
    ]
    weights = np.linspace(0.5, 1.5, 50).astype("float32")
    held = ({name: one[:9] for name, one in x.items()}, y[:9])
    fit(
        model, x, y, batch_size=8, epochs=4, verbose=0, callbacks=callbacks, sample_weight=weights,
        validation_data=held, shuffle="batch",
    )  # fmt: skip
    return model


def custom(fit: Fit, folder: Path) -> Any:
    """A subclass with its own train_step and metric, in mixed precision, with four steps in each execution."""
    keras.utils.set_random_seed(4)
    data = np.random.default_rng(2)
    x = data.normal(size=(90, 5)).astype("float32")
    y = x.sum(axis=1, keepdims=True)
    model = _jax_model() if keras.backend.backend() == "jax" else _tensorflow_model()
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.02, momentum=0.9), dynamic_growth_steps=5)
    model.compile(optimizer, loss="mse", steps_per_execution=4, **COMPILED)
    fit(model, x, y, batch_size=4, epochs=3, verbose=0, validation_data=(x[:30], y[:30]), steps_per_epoch=14)
    return model


def folds(fit: Fit, folder: Path) -> Any:
    """Two folds with a network each, validated by data that shuffles itself. Between them, it evaluates and draws."""
    keras.utils.set_random_seed(6)
    seen = []
    for _ in range(2):
        layers = keras.layers
        model = keras.Sequential(
            [
                keras.Input((6,), dtype="int32"),
                layers.Embedding(20, 3),
                layers.Flatten(),
                layers.Dropout(0.2),
                layers.Dense(1),
            ]
        )
        model.compile("adam", "mse", **COMPILED)
        fit(model, Words(), steps_per_epoch=6, epochs=2, verbose=0, validation_data=Words(), validation_steps=3)
        seen.append([model.evaluate(np.arange(30).reshape(5, 6) % 20, np.ones(5), verbose=0), np.random.rand()])
    (folder / "rows.csv").write_text(json.dumps(seen))
    return model


class Custom(keras.Model):
    """Layers that are built when they are first called."""

    def __init__(self) -> None:
        super().__init__(dtype="mixed_float16")
        self.noise = keras.random.SeedGenerator(11)
        self.hidden = keras.layers.Dense(7, activation="relu", dtype="mixed_float16")
        self.out = keras.layers.Dense(1, dtype="float32")
        self.error = keras.metrics.MeanAbsoluteError(name="error")

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            x = x + 0.1 * keras.random.normal(keras.ops.shape(x), seed=self.noise, dtype=x.dtype)
        return self.out(self.hidden(x))


def _tensorflow_model() -> Any:
    import tensorflow as tf

    class Model(Custom):
        def train_step(self, data: Any) -> Any:
            x, y = data
            with tf.GradientTape() as tape:
                found = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=found)
                scaled = self.optimizer.scale_loss(loss)
            gradients = tape.gradient(scaled, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
            self.error.update_state(y, found)
            return {"own_loss": loss, "error": self.error.result()}

    return Model()


def _jax_model() -> Any:
    import jax

    class Model(Custom):
        def train_step(self, state: Any, data: Any) -> Any:
            trainable, other, optimizer, metrics = state
            x, y = data

            def loss_of(trainable: Any, other: Any) -> Any:
                found, other = self.stateless_call(trainable, other, x, training=True)
                loss = self.compute_loss(y=y, y_pred=found)
                with keras.StatelessScope(state_mapping=list(zip(self.optimizer.variables, optimizer, strict=True))):
                    return self.optimizer.scale_loss(loss), (loss, found, other)

            (_, (loss, found, other)), gradients = jax.value_and_grad(loss_of, has_aux=True)(trainable, other)
            trainable, optimizer = self.optimizer.stateless_apply(optimizer, gradients, trainable)
            with keras.StatelessScope(state_mapping=list(zip(self.metrics_variables, metrics, strict=True))) as scope:
                self.error.update_state(y, found)
                result = self.error.result()
            metrics = [scope.get_current_value(one) for one in self.metrics_variables]
            metrics = [
                old.value if new is None else new for old, new in zip(self.metrics_variables, metrics, strict=True)
            ]
            return {"own_loss": loss, "error": result}, (trainable, other, optimizer, metrics)

    return Model()


PROGRAMS: dict[str, Callable[[Fit, Path], Any]] = {
    "cnn": cnn, "lstm": lstm, "regression": regression, "custom": custom, "folds": folds,
}  # fmt: skip


def final(model: Any) -> dict[str, Any]:
    """What must be equal to the bit: all variables, by their number and path."""
    return {f"{k} {one.path}": np.array(keras.ops.convert_to_numpy(one)) for k, one in enumerate(tracked(model))}


def main(name: str, at: str) -> None:
    """Train, and write what is compared."""
    folder = Path(at)
    folder.mkdir(parents=True, exist_ok=True)
    with baton.init(folder / "run") as run:
        keras.utils.clear_session(free_memory=False)
        model = PROGRAMS[name](lambda *args, **options: baton.keras.fit(*args, **options, run=run), folder)
        np.savez(folder / "final.npz", **final(model))
        (folder / "final.json").write_text(json.dumps(model.history.history))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
