"""The loop of `fit`: epochs of training steps and validations, with a save and a stop possible after each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import keras

from baton.adapters.random_states import random_states, set_random_states
from baton.keras import variables
from baton.keras.callback_states import CallbackStates
from baton.keras.feeds import Feed
from baton.keras.fits import NAME, Call, Fits, write_state
from baton.keras.records import Rows, StepLog, metrics_of, plain_logs
from baton.keras.steps import NoMoreBatches, steps_of
from baton.program.errors import ProgramError
from baton.program.run import Run

BEGIN, TRAIN, TEST = "begin", "train", "test"
PROGRESS_SECONDS = 1.0


@dataclass
class Place:
    """What is next: the beginning of an epoch, or a batch of its training or validation. `step`: of the run.

    `validations`: validations of this call that are done.
    """

    epoch: int
    step: int
    phase: str = BEGIN
    batch: int = 0
    validations: int = 0


@dataclass(frozen=True)
class Plan:
    """What a call of `fit` was asked for. `arguments`: what a restart compares."""

    call: Call
    first_epoch: int
    epochs: int
    validates: Callable[[int], bool]
    arguments: dict[str, Any]


class Loop:
    """One call of `fit`."""

    def __init__(
        self, model: Any, run: Run, fits: Fits, plan: Plan, feed: Feed, test_feed: Feed | None, callbacks: Any
    ) -> None:
        self._model, self._run, self._fits, self._plan = model, run, fits, plan
        self._feed, self._test_feed, self._callbacks = feed, test_feed, callbacks
        self._rows = Rows(run, plan.call.row)
        self._rows.set_model(model)
        callbacks.callbacks.insert(_before_history(callbacks), self._rows)
        self._states = CallbackStates(callbacks.callbacks, run.note, model)
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
            if self._plan.call.tree is not None:
                self._restore(self._plan.call.tree)
                self._plan.call.tree = None  # it is as large as the model
            elif self._states.append_to_files:
                self._save(wait=True)  # until the first save, nobody knows what the files had before this call
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
            self._close()

    def repeat_the_end(self) -> None:
        """Be as at the end of this call, which had ended when the save was made."""
        tree = self._plan.call.tree
        assert tree is not None
        try:
            self._restore(tree)
        finally:
            self._steps.settle()
            self._close()
        self._fits.end(tree, self._at.step, self._plan.call.row + self._at.epoch)

    def _close(self) -> None:
        self._feed.close()
        if self._test_feed is not None:
            self._test_feed.close()

    def _end(self) -> None:
        if isinstance(self._model.optimizer, keras.optimizers.Optimizer) and self._plan.epochs > 0:
            self._model.optimizer.finalize_variable_values(self._model.trainable_weights)
        self._callbacks.on_train_end(logs=self._epoch_logs)
        tree = {**self._tree(ended=True), "cursor": self._cursor()}
        self._fits.end(tree, self._at.step, self._plan.call.row + self._at.epoch)

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
        self._at = Place(epoch + 1, at.step, validations=at.validations)
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
        batches = feed.open(at.validations, at.batch)
        while (feed.steps is None or at.batch < feed.steps) and not (at.batch and model.stop_evaluating):
            if not self._one(callbacks.on_test_batch_begin, self._steps.test, batches):
                break
            at.batch += width
            callbacks.on_test_batch_end(at.batch - 1, self._logs)
            self._point()
        self._steps.settle()
        feed.end_epoch(at.validations)
        at.validations += 1
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

    def _save(self, *, wait: bool = False) -> None:
        tree, cursor, ended = self._tree(), self._cursor(), self._fits.ended
        self._unsaved = False
        about: dict[str, Any] = {"step": self._at.step, "epoch": self._at.epoch, "cursor": {NAME: cursor}}
        if wait:
            with self._run.save(**about) as folder:
                write_state(folder, tree, ended)
            return
        write = partial(write_state, tree=tree, ended=ended)
        self._run.save_in_background(**about, metrics=metrics_of(self._epoch_logs), write=write)

    def _tree(self, *, ended: bool = False) -> dict[str, Any]:
        """Copies of the state. `ended`: after the end of the training."""
        # Callbacks run in other threads if Keras thinks that they may. Before Keras 3.12 the method had another name.
        callbacks = self._callbacks
        (callbacks._flush_futures if hasattr(callbacks, "_flush_futures") else callbacks._clear_futures)()
        self._log.flush()
        self._steps.settle()
        return {
            "model": variables.capture(self._model),
            "callbacks": self._states.capture(ended=ended),
            "random": random_states(),
            "logs": plain_logs(self._logs),
            "epoch_logs": plain_logs(self._epoch_logs),
            "stop": [bool(self._model.stop_training), bool(getattr(self._model, "stop_evaluating", False))],
        }

    def _cursor(self) -> dict[str, Any]:
        return {
            "fit": self._plan.call.number,
            "place": asdict(self._at),
            "offsets": [self._fits.steps, self._plan.call.row],
            "arguments": self._plan.arguments,
            "epochs": self._plan.epochs,
            "data": self._feed.state(),
            "validation": self._test_feed.state() if self._test_feed is not None else None,
        }

    def _restore(self, tree: dict[str, Any]) -> None:
        model, call = self._model, self._plan.call
        assert call.cursor is not None
        if variables.lacks_some(model, tree["model"]):
            self._make_missing_variables()
        variables.restore(model, tree["model"])
        self._at = Place(**call.cursor["place"])
        self._states.restore(tree["callbacks"], None if call.ended else self._at.epoch)
        self._logs, self._epoch_logs = tree["logs"], tree["epoch_logs"]
        model.stop_training, model.stop_evaluating = tree["stop"]
        # A generator that is read again draws the same as in the first process, so this comes before the states.
        self._reach()
        set_random_states(tree["random"])

    def _reach(self) -> None:
        """Bring the data to the position, in the order of the first process: both feeds may share a generator."""
        at, feed, tests = self._at, self._feed, self._test_feed
        began, done = time.monotonic(), 0
        for epoch in range(self._plan.first_epoch, at.epoch):
            feed.reach(epoch, None)
            if tests is not None and self._plan.validates(epoch):
                tests.reach(done, None)
                done += 1
        feed.reach(at.epoch, None if at.phase == TEST else at.batch)
        if tests is not None:
            tests.reach(at.validations, at.batch if at.phase == TEST else 0)
        for name, one in (("x", feed), ("validation_data", tests)):
            if one is not None and one.read_again:
                self._run.note(_read_again(name, one.read_again, time.monotonic() - began, at))

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


def _read_again(argument: str, number: int, seconds: float, at: Place) -> str:
    place = f"batch {at.batch} of the validation" if at.phase == TEST else f"step {at.batch}"
    return (
        f"{argument} has no indices, so {number} batches were read again in {seconds:.1f} s to reach {place} of epoch "
        f"{at.epoch + 1}. Arrays, a PyDataset, or baton.data.batches(...) continue at once"
    )
