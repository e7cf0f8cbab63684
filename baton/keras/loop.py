"""The loop of `fit`: epochs of training steps and validations, with a save and a stop possible after each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from baton.adapters.random_states import random_states, set_random_states
from baton.adapters.state_files import write_tree
from baton.keras import variables
from baton.keras.callback_states import CallbackStates
from baton.keras.feeds import Feed
from baton.keras.fits import NAME, Fits
from baton.keras.records import Rows, StepLog, metrics_of, plain_logs
from baton.keras.steps import NoMoreBatches, steps_of
from baton.program.errors import ProgramError
from baton.program.run import Run

BEGIN, TRAIN, TEST = "begin", "train", "test"
PROGRESS_SECONDS = 1.0


@dataclass
class Place:
    """What is next: the beginning of an epoch, or a batch of its training or validation. `step`: of the run."""

    epoch: int
    step: int
    phase: str = BEGIN
    batch: int = 0


@dataclass(frozen=True)
class Plan:
    """What a call of `fit` was asked for. `row`: added to the number of an epoch, for the rows of the run."""

    call: int
    first_epoch: int
    epochs: int
    row: int
    validates: Callable[[int], bool]


class Loop:
    """One call of `fit`."""

    def __init__(
        self, model: Any, run: Run, fits: Fits, plan: Plan, feed: Feed, test_feed: Feed | None, callbacks: Any
    ) -> None:
        self._model, self._run, self._fits, self._plan = model, run, fits, plan
        self._feed, self._test_feed, self._callbacks = feed, test_feed, callbacks
        self._rows = Rows(run, plan.row)
        self._rows.set_model(model)
        callbacks.callbacks.insert(_before_history(callbacks), self._rows)
        self._states = CallbackStates(callbacks.callbacks, run.note)
        self._steps = steps_of(model)
        self._log = StepLog(run)
        self._at = Place(plan.first_epoch, fits.steps)
        self._logs: Any = {}
        self._epoch_logs: dict[str, Any] = {}
        self._told = 0.0
        self._unsaved = False

    def run(self) -> None:
        """Train, from the save if this call made it."""
        model = self._model
        model.stop_training = False
        try:
            self._callbacks.on_train_begin()
            if self._fits.saved_call == self._plan.call:
                self._restore()
            for epoch in range(self._at.epoch, self._plan.epochs):
                if model.stop_training and self._at.phase == BEGIN:
                    break  # only after a restore: the save was made after the epoch that stopped the training
                self._epoch(epoch)
            if self._unsaved:
                self._save()  # a program that is started again does not train again
            self._run.check()
            self._end()
        finally:
            self._steps.settle()
            self._feed.close()
            if self._test_feed is not None:
                self._test_feed.close()

    def _end(self) -> None:
        if isinstance(self._model.optimizer, keras.optimizers.Optimizer) and self._plan.epochs > 0:
            self._model.optimizer.finalize_variable_values(self._model.trainable_weights)
        self._callbacks.on_train_end(logs=self._epoch_logs)
        history = self._model.history
        self._fits.steps, self._fits.row = self._at.step, self._plan.row + self._at.epoch
        self._fits.histories = [*self._fits.histories, {"history": history.history, "epoch": history.epoch}]

    def _epoch(self, epoch: int) -> None:
        at, model, self._unsaved = self._at, self._model, True
        if at.phase == BEGIN:
            model.reset_metrics()
            self._callbacks.on_epoch_begin(epoch)
            at.phase, at.batch = TRAIN, 0
        if at.phase == TRAIN:
            self._train(epoch)
            self._steps.settle()
            self._log.flush()
            # Metrics of a custom train_step that are not those of the model are those of its last step.
            self._epoch_logs = dict(model._get_metrics_result_or_logs(self._logs))
        if at.phase == TEST or (self._test_feed is not None and self._plan.validates(epoch)):
            self._test()
        self._rows.steps = at.step
        self._callbacks.on_epoch_end(epoch, self._epoch_logs)
        self._feed.end_epoch(epoch)
        self._at = Place(epoch + 1, at.step)
        self._point()

    def _train(self, epoch: int) -> None:
        at, model, callbacks, width = self._at, self._model, self._callbacks, self._model.steps_per_execution
        self._steps.begin_training()
        batches = self._feed.open(epoch, at.batch)
        total = self._feed.steps
        while (total is None or at.batch < total) and not (at.batch and model.stop_training):
            if not self._one(callbacks.on_train_batch_begin, self._steps.train, batches):
                break
            done = width if total is None else min(width, total - at.batch)
            at.batch, at.step = at.batch + width, at.step + done
            self._log.add(at.step - 1, self._logs)
            callbacks.on_train_batch_end(at.batch - 1, self._logs)
            self._point()
        if at.batch == 0:
            raise ProgramError(f"x has no batches for epoch {epoch + 1}")

    def _one(self, begins: Callable[[int], object], step: Callable[[Any], Any], batches: Iterator[Any]) -> bool:
        """One execution. False: there was no batch."""
        self._unsaved = True
        begins(self._at.batch)
        try:
            self._logs = step(batches)
        except NoMoreBatches:
            return False
        return True

    def _test(self) -> None:
        at, model, callbacks, width = self._at, self._model, self._callbacks, self._model.steps_per_execution
        feed = self._test_feed
        assert feed is not None
        if at.phase == TRAIN:
            callbacks.on_test_begin()
            model.reset_metrics()
            model.stop_evaluating = False
            at.phase, at.batch, self._logs = TEST, 0, {}
        elif hasattr(callbacks, "_on_begin"):
            callbacks._on_begin()  # what is left of on_test_begin: Keras counts that each begin has its end
        self._steps.begin_testing()
        batches = feed.open(0, at.batch)
        while (feed.steps is None or at.batch < feed.steps) and not (at.batch and model.stop_evaluating):
            if not self._one(callbacks.on_test_batch_begin, self._steps.test, batches):
                break
            at.batch += width
            callbacks.on_test_batch_end(at.batch - 1, self._logs)
            self._point()
        self._steps.settle()
        feed.end_epoch(0)
        found = plain_logs(model._get_metrics_result_or_logs(self._logs))
        callbacks.on_test_end(found)
        self._epoch_logs.update({f"val_{name}": value for name, value in found.items()})

    def _point(self) -> None:
        """Between two steps: save if it is due, tell how far it is, and stop if the run must stop."""
        if self._run.save_due():
            self._save()
        if time.monotonic() - self._told > PROGRESS_SECONDS:
            self._told, total = time.monotonic(), self._feed.steps
            epochs = self._plan.epochs - self._plan.first_epoch
            steps = None if total is None else self._fits.steps + epochs * total
            at = min(self._at.epoch + 1, self._plan.epochs)
            self._run.progress(step=self._at.step, total=steps, epoch=at, epochs=self._plan.epochs)
        self._run.check()

    def _save(self) -> None:
        # Callbacks run in other threads if Keras thinks that they may. Before Keras 3.12 the method had another name.
        callbacks = self._callbacks
        (callbacks._flush_futures if hasattr(callbacks, "_flush_futures") else callbacks._clear_futures)()
        self._log.flush()
        self._steps.settle()
        at = self._at
        tree = {
            "model": variables.capture(self._model),
            "callbacks": self._states.capture(),
            "random": random_states(),
            "logs": plain_logs(self._logs),
            "epoch_logs": plain_logs(self._epoch_logs),
            "stop": [bool(self._model.stop_training), bool(getattr(self._model, "stop_evaluating", False))],
            "histories": self._fits.histories,
        }
        cursor = {
            "fit": self._plan.call,
            "place": vars(at),
            "offsets": [self._fits.steps, self._plan.row],
            "data": self._feed.state(),
            "validation": self._test_feed.state() if self._test_feed is not None else None,
        }

        def write(folder: Path) -> None:
            write_tree(folder, NAME, tree)

        self._unsaved = False
        self._run.save_in_background(
            step=at.step, epoch=at.epoch, cursor={NAME: cursor}, metrics=metrics_of(self._epoch_logs), write=write
        )

    def _restore(self) -> None:
        fits, model = self._fits, self._model
        assert fits.saved is not None
        tree, cursor = fits.saved_state(), fits.saved.cursor[NAME]
        if variables.lacks_some(model, tree["model"]):
            self._make_missing_variables()
        variables.restore(model, tree["model"])
        self._at = Place(**cursor["place"])
        self._states.restore(tree["callbacks"], self._at.epoch)
        self._logs, self._epoch_logs = tree["logs"], tree["epoch_logs"]
        model.stop_training, model.stop_evaluating = tree["stop"]
        # A generator that is read again draws the same as in the first process, so this comes before the states.
        self._feed.reach(*((self._at.epoch, self._at.batch) if self._at.phase != TEST else (self._at.epoch + 1, 0)))
        set_random_states(tree["random"])
        fits.saved = fits.state = None

    def _make_missing_variables(self) -> None:
        """One step on TensorFlow, whose effects the restore replaces: some models make optimizers' variables in it."""
        self._steps.begin_training()
        if hasattr(self._model, "make_train_function") and keras.backend.backend() == "tensorflow":
            self._steps.train(iter([self._feed.example()]))
            self._model.make_train_function(force=True)  # without what was traced for this batch


def _before_history(callbacks: Any) -> int:
    """The place after the user's callbacks: those that Keras adds are the last ones."""
    kinds = (keras.callbacks.History, keras.callbacks.ProgbarLogger)
    found = len(callbacks.callbacks)
    while found and isinstance(callbacks.callbacks[found - 1], kinds):
        found -= 1
    return found
