"""The programs of `keras_programs` with plain `model.fit` and with `baton.keras.fit`, on the same order of the data.

`python -m tests.support.keras_plain FOLDER NAME…` prints the largest difference of the histories of each, as JSON.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np

import baton
import baton.keras
from baton.data.permutation import Permutation
from tests.support.keras_programs import PROGRAMS


class Ordered(keras.utils.PyDataset):
    """Batches of arrays in the order of `baton.keras.fit`, for `model.fit`."""

    def __init__(self, arrays: tuple[Any, ...], size: int, seed: int) -> None:
        super().__init__()
        self.arrays, self.size, self.seed, self.epoch = arrays, size, seed, -1

    def __len__(self) -> int:
        return math.ceil(len(keras.tree.flatten(self.arrays)[0]) / self.size)

    def __getitem__(self, index: int) -> Any:
        count = len(keras.tree.flatten(self.arrays)[0])
        order = Permutation(count, seed=self.seed, epoch=max(0, self.epoch)).part(0, count)
        chosen = order[index * self.size : (index + 1) * self.size]
        return keras.tree.map_structure(lambda one: one[chosen], self.arrays)

    def on_epoch_end(self) -> None:  # Keras calls it once before the first epoch; it calls on_epoch_begin more often
        self.epoch += 1


def in_order(model: Any, x: Any, y: Any = None, **options: Any) -> None:
    """`model.fit` with the batches of `baton.keras.fit`."""
    if options.get("shuffle", True) is True and not isinstance(x, keras.utils.PyDataset):
        split = int(np.floor(len(y) * (1 - options.pop("validation_split", 0.0))))
        if split < len(y):
            options["validation_data"], x, y = (x[split:], y[split:]), x[:split], y[:split]
        size = options.pop("batch_size")
        options["validation_batch_size"] = size
        model.fit(Ordered((x, y), size, seed=0), shuffle=False, **options)
    else:
        model.fit(x, y, **options)


def histories(name: str, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The histories of plain `fit` and of `baton.keras.fit`."""
    changes: dict[str, Any] = {"steps_per_epoch": None} if name == "custom" else {}
    if name == "regression":
        changes["shuffle"] = False  # its own order is inside each batch
    found = []
    for plain in (True, False):
        keras.utils.clear_session(free_memory=False)
        part = folder / f"{name}-{plain}"
        part.mkdir(parents=True)
        with baton.init(part / "run") as run:

            def fit(model: Any, *data: Any, plain: bool = plain, run: Any = run, **options: Any) -> None:
                options.update(changes)
                if plain:
                    in_order(model, *data, **options)
                else:
                    baton.keras.fit(model, *data, **options, run=run)

            found.append(PROGRAMS[name](fit, part).history.history)
    return found[0], found[1]


def largest_difference(plain: dict[str, Any], own: dict[str, Any]) -> float:
    """Of all values of two histories with the same names."""
    assert plain.keys() == own.keys(), (plain.keys(), own.keys())
    return float(max(np.max(np.abs(np.array(plain[key]) - np.array(own[key]))) for key in plain))


def main(at: str, *names: str) -> None:
    """Print the largest difference of each program."""
    for name in names:
        print(json.dumps({"name": name, "largest": largest_difference(*histories(name, Path(at)))}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
