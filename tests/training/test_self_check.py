"""The check that a device repeats a step exactly: what it detects, and that it does not change the state."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import count
from typing import Any, cast

import pytest

from baton.domain.goodput import Stopwatch
from tests.training.small_engine import CLASSES, IMAGES, LABELS, contents, spec
from worker.attempt.protocols import Control
from worker.training.step.batch import Batch
from worker.training.step.engine import Engine
from worker.training.step.self_check import SelfCheck, unequal_arrays
from worker.training.step.train_step import TrainStep

BATCH, RATE = Batch(IMAGES, LABELS), 1e-3


class Events:
    """The part of a control that the check uses."""

    def __init__(self) -> None:
        self.watch = Stopwatch(time.monotonic)
        self.heard: list[tuple[str, str, dict[str, object]]] = []

    def note(self, kind: str, message: str, data: dict[str, object]) -> None:
        self.heard.append((kind, message, data))


@pytest.fixture(scope="module")
def engine() -> Engine:
    made = Engine(spec("network-2"), CLASSES)
    made.train_step(IMAGES, LABELS, RATE)
    return made


@pytest.fixture
def unsteady(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Steps that leave a different number in a weight each time, as a sum in varying order does."""
    step, numbers = TrainStep.step, count(1)
    weight = engine.network.trainable_variables[0]

    def other(self: TrainStep, *arguments: Any) -> None:
        step(self, *arguments)
        weight.assign(weight + 1e-6 * next(numbers))

    monkeypatch.setattr(TrainStep, "step", other)
    yield


def test_a_step_that_repeats_leaves_no_trace(engine: Engine) -> None:
    before = contents(engine.arrays())
    assert unequal_arrays(engine, BATCH, RATE) == []
    assert contents(engine.arrays()) == before


@pytest.mark.usefixtures("unsteady")
def test_a_step_that_does_not_is_told_once_a_stage(engine: Engine) -> None:
    control = Events()
    check = SelfCheck("on", engine, cast(Control, control))
    before = contents(engine.arrays())
    for stage in (0, 0, 1):
        check.before(stage, BATCH, RATE)
    assert contents(engine.arrays()) == before
    assert [kind for kind, *_ in control.heard] == ["self_check_failed"] * 2
    assert [data["stage"] for *_, data in control.heard] == [1, 2]
    _, text, data = control.heard[0]
    assert "deterministic: true" in text
    assert str(data["first"]).endswith("conv_1/kernel")


@pytest.mark.usefixtures("unsteady")
@pytest.mark.parametrize("wanted", ["auto", "off"])
def test_on_a_cpu_it_is_left_out_unless_asked_for(engine: Engine, wanted: str) -> None:
    control = Events()
    SelfCheck(wanted, engine, cast(Control, control)).before(0, BATCH, RATE)
    assert control.heard == []
