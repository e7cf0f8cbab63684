"""`make bench-keras`: what a step costs in `baton.keras.fit`, beside `model.fit` in the same process.

Both train the same model on the same arrays, in turn and in shuffled order. A step that waits stands for a GPU: the
host has nothing else to do meanwhile. Tiny steps show the cost itself. The time from the end of the first step to the
end of the last one counts, so compilation and what happens once in a call are left out. Other programs on the machine
change the times by the clock more than the processor times.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import baton
import baton.keras
from bench.figures import Spread, heading, percent, table
from bench.windows import Mark

BATCH, LIMIT = 32, 0.02
KINDS = ("model.fit", "baton.keras.fit")


class Clock(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Records when the first and the last step ended."""

    def __init__(self) -> None:
        super().__init__()
        self.first: Mark | None = None
        self.last = Mark.now()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Record the time."""
        del batch, logs
        self.last = Mark.now()
        self.first = self.first or self.last


class Wait(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
    """Passes its input on after some seconds, without using the processor."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def call(self, x: Any) -> Any:
        """The input."""
        return tf.ensure_shape(tf.numpy_function(self._waited, [x], tf.float32), x.shape)

    def _waited(self, x: Any) -> Any:
        time.sleep(self.seconds)
        return x


def network(wait: float, width: int) -> Any:
    """A compiled network with a step of at least `wait` seconds."""
    layers = [keras.Input((32,)), keras.layers.Dense(width, activation="relu"), keras.layers.Dropout(0.1)]
    model = keras.Sequential([*layers, *([Wait(wait)] if wait else []), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(), "mse", metrics=["mae"])
    return model


def a_step(model: Any, kind: str, steps: int) -> Mark:
    """Seconds of a step in one epoch, by the clock and in processor time."""
    data = np.random.default_rng(0)
    x, y = data.normal(size=(steps * BATCH, 32)).astype("float32"), data.normal(size=(steps * BATCH, 1))
    clock = Clock()
    options: dict[str, Any] = {"batch_size": BATCH, "verbose": 0, "callbacks": [clock]}
    if kind == KINDS[0]:
        model.fit(x, y, **options)
    else:
        with tempfile.TemporaryDirectory() as folder, baton.init(folder) as run:
            baton.keras.fit(model, x, y, **options, run=run)
    assert clock.first is not None
    first, last = clock.first, clock.last
    return Mark((last.clock - first.clock) / (steps - 1), (last.cpu - first.cpu) / (steps - 1))


def compare(title: str, wait: float, width: int, steps: int, rounds: int) -> tuple[tuple[str, ...], float]:
    """A row, and the ratio of the medians."""
    model = network(wait, width)
    for kind in KINDS:
        a_step(model, kind, steps)  # compiles
    found: dict[str, list[Mark]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        order = [*KINDS]
        random.Random(number).shuffle(order)
        for kind in order:
            found[kind].append(a_step(model, kind, steps))
    plain, own = found[KINDS[0]], found[KINDS[1]]
    ratio = Spread.of([two.clock / one.clock for one, two in zip(plain, own, strict=True)])
    clock = [Spread.of([one.clock for one in marks]).median for marks in (plain, own)]
    cpu = [Spread.of([one.cpu for one in marks]).median for marks in (plain, own)]
    times = *(f"{1e3 * one:.3f}" for one in clock), percent(ratio.median - 1), percent(ratio.error)
    return (title, *times, *(f"{1e6 * one:.0f}" for one in cpu)), ratio.median - 1


def main() -> int:
    """Measure and print. Exit status 1 if the overhead of a step of 20 ms is over the limit."""
    parser = argparse.ArgumentParser(prog="make bench-keras", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="epochs of each kind (%(default)s)")
    rounds = parser.parse_args().rounds
    heading(f"baton.keras.fit and model.fit, Keras {keras.__version__} on {keras.backend.backend()}")
    waiting, over = compare("a step that waits 20 ms", 0.02, 64, 50, rounds)
    rows = [waiting, compare("a step with a layer of 4096", 0.0, 4096, 50, rounds)[0]]
    rows.append(compare("a tiny step", 0.0, 8, 400, rounds)[0])
    table(("step", "model.fit ms", "baton ms", "overhead", "error", "model.fit CPU µs", "baton CPU µs"), rows)
    print(f"limit for the step of 20 ms: {percent(LIMIT)}; {'met' if over <= LIMIT else 'missed'}")
    return int(over > LIMIT)


if __name__ == "__main__":
    raise SystemExit(main())
