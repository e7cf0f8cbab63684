"""The states of callbacks, and of sources without a length, that a save holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import tensorflow as tf

from baton.adapters.state_files import read_tree, write_tree
from baton.data import batches
from baton.keras.callback_states import CallbackStates
from baton.keras.source_feed import SourceFeed


class Collects(keras.callbacks.Callback):  # type: ignore[misc]
    def __init__(self, losses: list[float], **more: Any) -> None:
        super().__init__()
        self.losses = losses
        vars(self).update(more)


def restored(folder: Path, saved: Collects, now: Collects) -> list[str]:
    """Put the state of one into the other, through files. Returns the notes."""
    notes: list[str] = []
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    write_tree(folder, "state", CallbackStates([saved], notes.append, model).capture())
    CallbackStates([now], notes.append, model).restore(read_tree(folder, "state"), epoch=1)
    return notes


def test_a_list_that_the_program_has_too_stays_the_same_list(tmp_path: Path) -> None:
    mine: list[float] = []
    now = Collects(mine, best={"a": 0})
    shared = now.best
    assert restored(tmp_path, Collects([0.5, 0.25], best={"b": 1}), now) == []
    assert (mine, shared) == ([0.5, 0.25], {"b": 1})
    assert now.losses is mine


def test_arrays_of_types_that_numpy_does_not_have_come_back_as_arrays(tmp_path: Path) -> None:
    weights = [np.array([0.5, -2.0], ml_dtypes.bfloat16)]
    now = Collects([], best_weights=None)
    assert restored(tmp_path, Collects([], best_weights=weights), now) == []
    assert now.best_weights[0].dtype == ml_dtypes.bfloat16
    assert (now.best_weights[0] == weights[0]).all()


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    kept = {"raw": tf.Variable(1.0), "how": max, "less": np.less, "kind": int}
    (note,) = restored(tmp_path, Collects([], **kept), Collects([], **kept))
    assert "Collects.raw" in note
    assert not [name for name in ("how", "less", "kind") if f"Collects.{name}" in note]


def test_variables_of_objects_of_keras_come_back(tmp_path: Path) -> None:
    def callback(start: float) -> Collects:
        other = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        other.set_weights([np.full((2, 1), start), np.full(1, start)])
        by_name = {"a": keras.metrics.Mean(), "b": keras.metrics.Sum()}
        for one in by_name.values():
            one.update_state(start)
        return Collects([], other=other, by_name=by_name, late=keras.metrics.Mean() if start else None)

    now = callback(0.0)
    (note,) = restored(tmp_path, callback(3.0), now)
    assert [one.tolist() for one in now.other.get_weights()] == [[[3.0], [3.0]], [3.0]]
    assert [float(one.result()) for one in now.by_name.values()] == [3.0, 3.0]
    assert note.startswith("Collects.late had 2 variables at the save and has 0 now, so they begin anew")


def test_variables_of_the_trained_model_are_saved_once() -> None:
    notes: list[str] = []
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    (state,) = CallbackStates([Collects([], net=model, part=model.layers)], notes.append, model).capture()
    assert "variables" not in state
    assert notes == []


def test_a_save_at_the_end_of_a_pass_continues_with_the_next_one() -> None:
    def feed() -> SourceFeed:
        source = batches(lambda epoch: ((np.full(1, 10 * epoch + k),) for k in range(3)))
        return SourceFeed(source, steps=2, first_epoch=0, class_weight=None, restarts=False)

    def read(one: SourceFeed, count: int) -> list[int]:
        found = one._peeked or one._batches()
        return [int(next(found)[0][0]) for _ in range(count)]

    whole = read(feed(), 7)
    for done in range(1, 7):
        first, then = feed(), feed()
        first.example()
        assert read(first, done) == whole[:done]
        then.restore(first.state())
        assert read(then, 7 - done) == whole[done:]
