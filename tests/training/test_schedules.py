"""Schedules, compared with the originals: Keras's ReduceLROnPlateau and the published CyclicLR."""

import json
import math
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from baton.domain.spec import ConstantSchedule, CyclicSchedule, PlateauSchedule, Schedule
from worker.training.state.schedules import RateSchedule, make_schedule

VALUES = st.one_of(
    st.floats(0, 10, allow_subnormal=False, width=32),
    st.floats(-1e3, 1e3, allow_subnormal=False),
    st.sampled_from([0.5, 0.5001, 0.50005, 0.5 + 1e-9, 1.0, math.nan, math.inf]),
)
PLATEAUS = st.builds(
    PlateauSchedule,
    monitor=st.sampled_from(["val_loss", "val_accuracy", "loss", "accuracy"]),
    factor=st.floats(0.01, 0.99),
    patience=st.integers(0, 4),
    cooldown=st.integers(0, 3),
    min_delta=st.sampled_from([0.0, 1e-4, 0.01]) | st.floats(0, 0.5, allow_subnormal=False),
    min_lr=st.sampled_from([0.0, 0.5e-6, 1e-4]),
    learning_rate=st.none() | st.floats(1e-7, 1),
)


def _logs(value: float) -> dict[str, float]:
    return dict.fromkeys(("loss", "accuracy", "val_loss", "val_accuracy"), value)


class KerasPlateau:
    """The real callback with a real float32 variable for the rate, without a network."""

    def __init__(self, spec: PlateauSchedule, rate: float) -> None:
        arguments = spec.model_dump(include={"monitor", "factor", "patience", "cooldown", "min_delta", "min_lr"})
        mode = "max" if spec.monitor.endswith("accuracy") else "min"
        self.callback = keras.callbacks.ReduceLROnPlateau(mode=mode, **arguments)
        self.optimizer = keras.optimizers.SGD(rate if spec.learning_rate is None else spec.learning_rate)
        self.callback.set_model(SimpleNamespace(optimizer=self.optimizer))
        self.callback.on_train_begin()

    def epoch_end(self, epoch: int, logs: dict[str, float]) -> float:
        self.callback.on_epoch_end(epoch, dict(logs))
        return float(keras.ops.convert_to_numpy(self.optimizer.learning_rate))


@settings(max_examples=150, deadline=None)
@given(spec=PLATEAUS, values=st.lists(VALUES, max_size=25), rate=st.floats(1e-7, 1))
def test_plateau_is_keras_reduce_lr_on_plateau(spec: PlateauSchedule, values: list[float], rate: float) -> None:
    reference, ours = KerasPlateau(spec, rate), make_schedule(spec, rate)
    for epoch, value in enumerate(values):
        expected = reference.epoch_end(epoch, _logs(value))
        ours.epoch_end(_logs(value))
        assert ours.rate(epoch * 7) == expected
        assert (ours.state()["wait"], ours.state()["cooldown"]) == (
            reference.callback.wait,
            reference.callback.cooldown_counter,
        )


@settings(deadline=None)
@given(spec=PLATEAUS, values=st.lists(VALUES, max_size=20), cut=st.integers(0, 20))
def test_plateau_restored_midway_is_as_never_interrupted(spec: PlateauSchedule, values: list[float], cut: int) -> None:
    whole, first = make_schedule(spec, 0.01), make_schedule(spec, 0.01)
    for value in values[:cut]:
        whole.epoch_end(_logs(value))
        first.epoch_end(_logs(value))
    second = _handed_over(spec, first)
    for value in values[cut:]:
        whole.epoch_end(_logs(value))
        second.epoch_end(_logs(value))
        assert second.rate(0) == whole.rate(0)
    assert second.state() == whole.state()


def _handed_over(spec: Schedule, schedule: RateSchedule) -> RateSchedule:
    """The schedule as a worker in another process restores it: from the spec, a wrong current rate and the state as
    strict JSON.
    """
    text = json.dumps(schedule.state(), allow_nan=False)
    restored = make_schedule(spec, 0.77)
    restored.restore(json.loads(text))
    return restored


class PublishedCyclicLR:
    """Bradley Kenstler's CyclicLR callback, which the papers' notebooks use, written again.

    It counts its own iterations.
    """

    def __init__(self, base_lr: float, max_lr: float, step_size: int, mode: str, gamma: float) -> None:
        self.base_lr, self.max_lr, self.step_size, self.gamma = base_lr, max_lr, step_size, gamma
        self.scale_fn, self.scale_mode = {
            "triangular": (lambda x: 1.0, "cycle"),
            "triangular2": (lambda x: 1 / (2.0 ** (x - 1)), "cycle"),
            "exp_range": (lambda x: gamma ** (x), "iterations"),
        }[mode]
        self.clr_iterations = 0.0

    def clr(self) -> Any:
        cycle = np.floor(1 + self.clr_iterations / (2 * self.step_size))
        x = np.abs(self.clr_iterations / self.step_size - 2 * cycle + 1)
        argument = cycle if self.scale_mode == "cycle" else self.clr_iterations
        return self.base_lr + (self.max_lr - self.base_lr) * np.maximum(0, (1 - x)) * self.scale_fn(argument)


@settings(deadline=None)
@given(
    mode=st.sampled_from(["triangular", "triangular2", "exp_range"]),
    base=st.floats(1e-7, 0.1),
    span=st.floats(1, 10),
    step_size=st.integers(1, 40),
    gamma=st.floats(0.9, 1),
)
def test_cyclic_is_the_published_callback(mode: Any, base: float, span: float, step_size: int, gamma: float) -> None:
    spec = CyclicSchedule(mode=mode, base_lr=base, max_lr=base * span, step_size=step_size, gamma=gamma)
    published, ours = PublishedCyclicLR(base, base * span, step_size, mode, gamma), make_schedule(spec, 0.5)
    for step in range(6 * step_size):
        assert ours.rate(step) == np.float32(published.clr())
        published.clr_iterations += 1


def test_cyclic_by_hand() -> None:
    """Base 1, maximum 3, four steps up, four down. The second cycle of triangular2 has half the height."""
    spec = CyclicSchedule(mode="triangular2", base_lr=1.0, max_lr=3.0, step_size=4)
    rates = [make_schedule(spec, 0.5).rate(step) for step in range(17)]
    assert rates == [1, 1.5, 2, 2.5, 3, 2.5, 2, 1.5, 1, 1.25, 1.5, 1.75, 2, 1.75, 1.5, 1.25, 1]


def test_cyclic_needs_no_state_and_no_epochs() -> None:
    spec = CyclicSchedule(step_size=10)
    schedule = make_schedule(spec, 0.5)
    before = schedule.rate(13)
    schedule.epoch_end(_logs(1.0))
    assert schedule.rate(13) == before == _handed_over(spec, schedule).rate(13)


@pytest.mark.parametrize(("given_rate", "expected"), [(None, 0.3), (0.01, 0.01)])
def test_constant_and_plateau_start_at_the_given_rate_or_carry_over(given_rate: float | None, expected: float) -> None:
    for spec in (ConstantSchedule(learning_rate=given_rate), PlateauSchedule(learning_rate=given_rate)):
        assert make_schedule(spec, 0.3).rate(0) == np.float32(expected)


def test_constant_stays_and_survives_a_hand_over() -> None:
    spec = ConstantSchedule()
    schedule = make_schedule(spec, 0.01)
    schedule.epoch_end(_logs(math.nan))
    assert _handed_over(spec, schedule).rate(99) == schedule.rate(0) == np.float32(0.01)


def test_published_plateau_by_hand() -> None:
    """Patience 5, factor sqrt(0.1): after five epochs without a better loss the rate is divided by 3.16."""
    schedule = make_schedule(PlateauSchedule(), 1e-3)
    rates = []
    for _ in range(60):
        schedule.epoch_end(_logs(1.0))
        rates.append(schedule.rate(0))
    assert rates[4] == np.float32(1e-3)
    assert rates[5] == pytest.approx(1e-3 * math.sqrt(0.1))
    assert rates[10] == pytest.approx(1e-4)
    assert rates[-1] == np.float32(0.5e-6)
