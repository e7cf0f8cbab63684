"""What the drill sees of a program's variables, without calling the program."""

from __future__ import annotations

import itertools
import random
import sys
from collections import deque
from typing import Any

import numpy as np
import pytest

from baton.program.drill import looking
from baton.program.drill.looking import Look, generators, variables


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


def test_global_generators() -> None:
    before = generators()
    assert {"random", "numpy.random"} <= set(before)
    assert generators() == before
    random.random()
    np.random.random()
    after = generators()
    assert [after[name] != before[name] for name in ("random", "numpy.random")] == [True, True]
