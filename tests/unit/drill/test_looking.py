"""What the drill sees of a program's variables, without calling the program."""

from __future__ import annotations

import itertools
import random
import sys
import zipfile
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import baton
from baton.drill.causes import ITERATOR
from baton.program.drill import looking
from baton.program.drill.looking import Look, drawn_from, generators, variables


class Optimizer:
    def __init__(self) -> None:
        self.rate, self.state = 0.1, {"m": np.zeros(2)}
        self.me = self

    @property
    def trap(self) -> int:
        raise AssertionError("the program was called")


class Slotted:
    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count


def seen(value: Any) -> Look:
    def train(thing: Any) -> Look:
        return {name: one for name, one in variables(sys._getframe()).items() if name.startswith("train().thing")}

    return train(value)


def numbers() -> Any:
    yield from range(10)


def test_attributes_arrays_and_generators_by_name() -> None:
    found = seen({"optimizer": Optimizer(), "rng": np.random.default_rng(0), "slotted": Slotted(3)})
    assert {name.removeprefix("train().thing."): one[0] for name, one in found.items()} == {
        "optimizer.rate": "value",
        "optimizer.state.m": "array",
        "rng": "generator",
        "slotted.count": "value",
    }


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.random.default_rng(0),
        lambda: np.random.RandomState(0),
        lambda: random.Random(0),
        lambda: iter([1, 2, 3]),
        lambda: enumerate([5, 6, 7]),
        lambda: itertools.cycle([1, 2, 3]),
        numbers,
    ],
)
def test_a_position_is_seen_and_not_moved(make: Any) -> None:
    value, before = make(), seen(make())
    assert seen(value) == before
    assert seen(value) == before
    next(value) if hasattr(value, "__next__") else value.random()
    assert before
    assert seen(value) != before


def test_the_order_of_a_set_and_large_collections() -> None:
    found = seen({"set": {"a", "b"}, "many": list(range(10_000)), "queue": deque([1, 2])})
    assert {name.rpartition(".")[2]: one[0] for name, one in found.items()} == {
        "set": "order",
        "many": "value",
        "queue": "value",
    }


def test_there_is_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "LEAVES", 50)
    assert len(variables(sys._getframe())) <= 50
    assert len(seen([{"n": k, "x": [k, {"y": k}]} for k in range(100_000)])) <= 50


def test_what_belongs_to_baton_and_open_archives_are_no_variables(tmp_path: Path) -> None:
    np.savez(tmp_path / "arrays.npz", a=np.ones(2))
    data = baton.data.batches(np.arange(8), batch_size=2)
    batches = data.epoch(0)
    with baton.init(tmp_path / "run") as run, np.load(tmp_path / "arrays.npz") as arrays:
        with (tmp_path / "arrays.npz").open("rb") as file, zipfile.ZipFile(file) as archive:
            found = seen([run, arrays, file, archive, data, batches])
        assert {name: one[2] for name, one in found.items()} == {"train().thing.4.position": "2 members"}
        next(batches)
        assert seen([data])["train().thing.0.position"] != found["train().thing.4.position"]


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("criterion.weight", False),
        ("train_iter.0", True),
        ("it.iterator", True),
        ("iteration", True),
        ("optimizer.iterations", False),
        ("data.position", True),
        ("order", True),
    ],
)
def test_names_that_point_to_a_position_in_the_data(name: str, fits: bool) -> None:
    assert ITERATOR.fits(name) == fits


def test_global_generators() -> None:
    before = generators()
    assert {"random", "numpy.random"} <= set(before)
    assert generators() == before
    random.random()
    np.random.random()
    after = generators()
    assert [after[name] != before[name] for name in ("random", "numpy.random")] == [True, True]
    assert drawn_from() == ["random", "numpy.random"]
    random.seed(1)
    np.random.seed(1)
    assert drawn_from() == []
