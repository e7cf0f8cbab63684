"""Learning rate schedules, as state machines that can be saved after any step and restored in another process."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from baton.domain.spec import ConstantSchedule, CyclicSchedule, PlateauSchedule, Schedule

State = dict[str, float | int]


class RateSchedule(Protocol):
    """The learning rate of one stage. All rates are values of float32, like the optimizer's variable."""

    def rate(self, step_in_stage: int) -> float:
        """The learning rate of this step of the stage, counted from 0."""

    def epoch_end(self, logs: Mapping[str, float]) -> None:
        """Updates the schedule with an epoch's loss, accuracy, val_loss and val_accuracy."""

    def state(self) -> State:
        """The state that, with the spec, decides the coming rates, as JSON data."""

    def restore(self, state: Mapping[str, float | int]) -> None:
        """Continues from a result of `state`."""


def make_schedule(spec: Schedule, current_rate: float) -> RateSchedule:
    """The schedule at the start of a stage. `current_rate`: of the previous stage, used if the spec gives none."""
    match spec:
        case ConstantSchedule():
            return _Constant(_start(spec.learning_rate, current_rate))
        case PlateauSchedule():
            return _Plateau(spec, _start(spec.learning_rate, current_rate))
        case CyclicSchedule():
            return _Cyclic(spec)


def _start(given: float | None, current: float) -> float:
    return _float32(current if given is None else given)


def _float32(value: float) -> float:
    return float(np.float32(value))


def _to_bits(value: float) -> int:
    """The bits of a float64 as an integer: the best value may be NaN or infinite, and JSON has neither."""
    return int.from_bytes(struct.pack(">d", value))


def _from_bits(bits: int) -> float:
    return float(struct.unpack(">d", bits.to_bytes(8))[0])


class _Constant:
    def __init__(self, rate: float) -> None:
        self._rate = rate

    def rate(self, step_in_stage: int) -> float:  # noqa: ARG002 - part of the protocol; constant in the step
        return self._rate

    def epoch_end(self, logs: Mapping[str, float]) -> None:
        """Does nothing: the rate is constant."""

    def state(self) -> State:
        return {"rate": self._rate}

    def restore(self, state: Mapping[str, float | int]) -> None:
        self._rate = float(state["rate"])


class _Plateau:
    """Makes the same decisions as keras.callbacks.ReduceLROnPlateau of Keras 3.15, including its quirks.

    It subtracts in float64 and compares in float32. If the first value is NaN, NaN stays the best value forever.
    """

    def __init__(self, spec: PlateauSchedule, rate: float) -> None:
        self._spec = spec
        self._rate = rate
        self._best: float | None = None
        self._wait = 0
        self._cooldown = 0

    def rate(self, step_in_stage: int) -> float:  # noqa: ARG002 - part of the protocol; changes between epochs only
        return self._rate

    def epoch_end(self, logs: Mapping[str, float]) -> None:
        current = float(logs[self._spec.monitor])
        if self._cooldown > 0:
            self._cooldown -= 1
            self._wait = 0
        if self._improves(current):
            self._best, self._wait = current, 0
        elif self._cooldown == 0:
            self._wait += 1
            if self._wait >= self._spec.patience and self._rate > _float32(self._spec.min_lr):
                self._rate = _float32(max(self._rate * self._spec.factor, self._spec.min_lr))
                self._cooldown, self._wait = self._spec.cooldown, 0

    def state(self) -> State:
        counters: State = {"rate": self._rate, "wait": self._wait, "cooldown": self._cooldown}
        return counters if self._best is None else {**counters, "best_bits": _to_bits(self._best)}

    def restore(self, state: Mapping[str, float | int]) -> None:
        self._rate = float(state["rate"])
        self._wait, self._cooldown = int(state["wait"]), int(state["cooldown"])
        self._best = _from_bits(int(state["best_bits"])) if "best_bits" in state else None

    def _improves(self, current: float) -> bool:
        if self._best is None:
            return True
        if self._spec.monitor.endswith("accuracy"):
            return bool(np.float32(current - self._spec.min_delta) > np.float32(self._best))
        return bool(np.float32(current + self._spec.min_delta) < np.float32(self._best))


class _Cyclic:
    """Cyclical rates of Smith (arXiv:1506.01186), as in CyclicLR for Keras: a pure function of the step."""

    def __init__(self, spec: CyclicSchedule) -> None:
        self._spec = spec
        self._scale = _scale(spec)

    def rate(self, step_in_stage: int) -> float:
        spec = self._spec
        cycle = np.floor(1 + step_in_stage / (2 * spec.step_size))
        x = np.abs(step_in_stage / spec.step_size - 2 * cycle + 1)
        height = (spec.max_lr - spec.base_lr) * np.maximum(0, 1 - x)
        return _float32(spec.base_lr + height * self._scale(float(cycle), step_in_stage))

    def epoch_end(self, logs: Mapping[str, float]) -> None:
        """Does nothing: the rate depends on the step only."""

    def state(self) -> State:
        return {}

    def restore(self, state: Mapping[str, float | int]) -> None:
        """Does nothing: there is no state."""


def _scale(spec: CyclicSchedule) -> Callable[[float, int], float]:
    match spec.mode:
        case "triangular":
            return lambda _cycle, _step: 1.0
        case "triangular2":
            return lambda cycle, _step: 1 / 2.0 ** (cycle - 1)
        case "exp_range":
            return lambda _cycle, step: float(spec.gamma**step)
