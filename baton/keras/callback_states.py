"""The state of each callback: what it knows about the training so far, and the files that it has begun."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from baton.adapters.state_files import Bits, can_be_stored
from baton.keras import callback_variables
from baton.keras.callback_files import WrittenFile, put_rows_back, rows_of
from baton.program.errors import ProgramError

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "EarlyStopping": ("wait", "stopped_epoch", "best", "best_epoch", "best_weights"),
    "History": ("history", "epoch"),
    "ModelCheckpoint": ("best", "_batches_seen_since_last_saving", "_last_batch_seen", "_current_epoch"),
    "OrbaxCheckpoint": (
        "best",
        "_batches_seen_since_last_saving",
        "_last_batch_seen",
        "_total_batches_seen",
        "_current_epoch",
    ),
    "ReduceLROnPlateau": ("wait", "cooldown_counter", "best"),
    "SwapEMAWeights": ("_ema_weights_in_model",),
    "TensorBoard": ("_global_train_batch", "_global_test_batch", "_train_accumulated_time"),
    **dict.fromkeys(
        ("LambdaCallback", "LearningRateScheduler", "ProgbarLogger", "RemoteMonitor", "TerminateOnNaN"), ()
    ),
    "CSVLogger": (),
}
"""Keras's own callbacks: the attributes that change. Their settings are those of the running program."""
_NEVER = {"_model", "params", "model"}
_SHARED = {"best_weights"}
"""Attributes that are replaced and never changed in place, so a save does not copy them."""


class CallbackStates:
    """The states of the callbacks of one call of `fit`. `note`: called with what cannot be saved or restored.

    `model`: the model that is trained. `append_to_files`: a callback adds to a file that may have been there before.

    Raises:
        ProgramError: a callback does what Baton does, and would work against it.
    """

    def __init__(self, callbacks: Sequence[Any], note: Callable[[str], object], model: Any) -> None:
        self._callbacks, self._note, self._model = list(callbacks), note, model
        self._told = False
        self.append_to_files = any(is_kind(one, "CSVLogger") and one.append for one in self._callbacks)
        self._files = {k: WrittenFile(one) for k, one in enumerate(self._callbacks) if is_kind(one, "ModelCheckpoint")}
        for one in self._callbacks:
            if isinstance(one, keras.callbacks.BackupAndRestore):
                raise ProgramError(
                    "callbacks: BackupAndRestore restores a state of its own, which Baton would overwrite: leave it "
                    "out. baton.keras.fit already continues at the exact step"
                )

    def capture(self, *, ended: bool = False) -> list[dict[str, Any]]:
        """The state of each callback, as copies. `ended`: the training has ended."""
        left_out: list[str] = []
        states = [{"kind": _kind(one), **self._state(k, one, left_out, ended)} for k, one in enumerate(self._callbacks)]
        if left_out and not self._told:
            self._note(
                f"these attributes of callbacks cannot be saved and begin anew after a restart: {', '.join(left_out)}. "
                "Give the callback get_state() and set_state(state), or keep only numbers, text, lists and arrays in it"
            )
        self._told = True
        return states

    def _state(self, number: int, callback: Any, left_out: list[str], ended: bool) -> dict[str, Any]:
        if callable(getattr(callback, "get_state", None)) and callable(getattr(callback, "set_state", None)):
            own = copy.deepcopy(callback.get_state())
            if not can_be_stored(own):
                raise ProgramError(
                    f"callbacks: {_kind(callback)}.get_state() returned what a save cannot hold: use dicts, lists, "
                    "tuples, numbers, text, bytes, None and NumPy arrays"
                )
            return {"own": own}
        variables: dict[str, Any] = {}
        state: dict[str, Any] = {"attributes": self._attributes(callback, variables, left_out)}
        if variables:
            state["variables"] = variables
        if ended:  # the model has had them, or they were of no use
            state["attributes"] = {name: one for name, one in state["attributes"].items() if name not in _SHARED}
        if hasattr(callback, "_set_monitor_op"):
            state["monitors"] = callback.monitor_op is not None
        if is_kind(callback, "CSVLogger"):
            state["rows"] = rows_of(callback, ended=ended)
        if number in self._files:
            state["file"] = self._files[number].capture()
        return state

    def _attributes(self, callback: Any, variables: dict[str, Any], left_out: list[str]) -> dict[str, Any]:
        names = ATTRIBUTES.get(_own_name(callback))
        if names is not None:
            return {name: _copied(name, getattr(callback, name)) for name in names if hasattr(callback, name)}
        found = {}
        for name, value in vars(callback).items():
            if name in _NEVER:
                continue
            if can_be_stored(value):
                found[name] = _copied(name, value)
            elif (own := callback_variables.capture(value, self._model)) is not None:
                variables.update({name: own} if own else {})
            elif not (isinstance(value, type | np.ufunc) or inspect.isroutine(value)):
                left_out.append(f"{type(callback).__qualname__}.{name}")
        return found

    def restore(self, states: list[dict[str, Any]], epoch: int | None) -> None:
        """Put back what `capture` returned. Call it after `on_train_begin`, with the epoch that continues.

        None: the training has ended, and `on_train_begin` was not called.

        Raises:
            ProgramError: these are other callbacks.
        """
        saved, now = [one["kind"] for one in states], [_kind(one) for one in self._callbacks]
        if saved != now:
            raise ProgramError(
                f"callbacks: the save was made with {', '.join(saved)}, and now there are {', '.join(now)}: give the "
                "same ones in the same order, or begin a new run"
            )
        for number, (callback, state) in enumerate(zip(self._callbacks, states, strict=True)):
            if "own" in state:
                callback.set_state(as_arrays(state["own"]))
                continue
            if state.get("monitors") and callback.monitor_op is None:
                callback._set_monitor_op()  # it changes the sign of min_delta, so it comes before the attributes
            for name, value in state["attributes"].items():
                _put_back(callback, name, as_arrays(value))
            for name, value in state.get("variables", {}).items():
                place = f"{_kind(callback)}.{name}"
                callback_variables.restore(place, getattr(callback, name, None), value, self._model, self._note)
            if "rows" in state:
                put_rows_back(callback, state["rows"], ended=epoch is None)
            if number in self._files:
                self._files[number].restore(state["file"])
            if epoch is not None and is_kind(callback, "ProgbarLogger"):
                callback.on_epoch_begin(epoch)  # makes the bar; the epoch itself does not begin again


def is_kind(callback: Any, name: str) -> bool:
    """Whether it is this callback of Keras or a subclass of it."""
    kind = getattr(keras.callbacks, name, None)
    return (kind is not None and isinstance(callback, kind)) or _own_name(callback) == name


def _own_name(callback: Any) -> str:
    """The name of the class if it is one of Keras, else nothing."""
    kind = type(callback)
    return kind.__name__ if kind.__module__.split(".")[0] == "keras" else ""


def _kind(callback: Any) -> str:
    return type(callback).__qualname__


def _copied(name: str, value: Any) -> Any:
    return value if name in _SHARED else copy.deepcopy(value)


def _put_back(callback: Any, name: str, value: Any) -> None:
    """Set an attribute. A list or a dictionary is changed in place: the program may have it too."""
    current = getattr(callback, name, None)
    if type(current) is list and type(value) is list:
        current[:] = value
    elif type(current) is dict and type(value) is dict:
        current.clear()
        current.update(value)
    else:
        setattr(callback, name, value)


def as_arrays(value: Any) -> Any:
    """The value with arrays of the types that NumPy does not have, such as bfloat16, instead of their bits."""
    if isinstance(value, Bits):
        return value.array()
    if type(value) in (list, tuple):
        return type(value)(as_arrays(one) for one in value)
    if type(value) is dict:
        return {key: as_arrays(one) for key, one in value.items()}
    return value
