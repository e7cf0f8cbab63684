"""The steps of a model: `train_function` and `test_function` of Keras on each backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from baton.keras.support import on_jax


class NoMoreBatches(Exception):
    """The iterator had no batch for a step."""


class Steps(Protocol):
    """Steps of a compiled model."""

    def begin_training(self) -> None:
        """Call it before the first step of an epoch, and of what continues it."""
        ...

    def begin_testing(self) -> None:
        """Call it before the first step of a validation, and of what continues it."""
        ...

    def train(self, batches: Iterator[Any]) -> Any:
        """`steps_per_execution` steps. Returns the metrics. Raises NoMoreBatches."""
        ...

    def test(self, batches: Iterator[Any]) -> Any:
        """The same without training."""
        ...

    def settle(self) -> None:
        """The variables of the model have their values."""
        ...


def steps_of(model: Any) -> Steps:
    """The steps of this model on the backend of this process."""
    return JaxSteps(model) if on_jax() else TensorFlowSteps(model)


class TensorFlowSteps:
    """A step changes the variables themselves."""

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        self._model = model
        self._ends = (StopIteration, tf.errors.OutOfRangeError)

    def begin_training(self) -> None:
        """Make the compiled step, if there is none."""
        self._model.make_train_function()

    def begin_testing(self) -> None:
        """Make the compiled step, if there is none."""
        self._model.make_test_function()

    def train(self, batches: Iterator[Any]) -> Any:
        """Steps of training."""
        try:
            return self._model.train_function(batches)
        except self._ends:
            raise NoMoreBatches from None

    def test(self, batches: Iterator[Any]) -> Any:
        """Steps of a validation."""
        try:
            return self._model.test_function(batches)
        except self._ends:
            raise NoMoreBatches from None

    def settle(self) -> None:
        """Nothing."""


_NAMES = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
_TESTED = (_NAMES[0], _NAMES[1], _NAMES[3])


class JaxSteps:
    """A step takes arrays and returns arrays. They go back into the variables when something wants to read them."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._state: Any = None

    def begin_training(self) -> None:
        """Make the compiled step, if there is none; the variables have the state."""
        self._begin()
        self._model.make_train_function()

    def begin_testing(self) -> None:
        """Make the compiled step, if there is none; the variables have the state."""
        self._begin()
        self._model.make_test_function()

    def _begin(self) -> None:
        record = getattr(self._model, "_record_training_state_sharding_spec", None)
        if record is not None:
            record()  # Keras before 3.13 reads the shardings here, and not when it makes the steps
        self._model._jax_state_synced = True

    def train(self, batches: Iterator[Any]) -> Any:
        """Steps of training."""
        return self._step(self._model.train_function, _NAMES, batches)

    def test(self, batches: Iterator[Any]) -> Any:
        """Steps of a validation."""
        return self._step(self._model.test_function, _TESTED, batches)

    def _step(self, function: Any, names: tuple[str, ...], batches: Iterator[Any]) -> Any:
        model = self._model
        if model._jax_state_synced:  # also after a callback has read the model
            self._state = model._get_jax_state(**dict.fromkeys(names, True), purge_model_variables=True)
            model._jax_state = dict(zip(names, self._state, strict=True))
            model._jax_state_synced = False
        try:
            logs, self._state = function(self._state, batches)
        except StopIteration:
            raise NoMoreBatches from None
        # Callbacks and `settle` make Keras copy this into the variables.
        model._jax_state = dict(zip(names, self._state, strict=True))
        return logs

    def settle(self) -> None:
        """Put the arrays into the variables."""
        self._model.jax_state_sync()
        self._state = None
