"""The state of each callback: what it knows about the training so far, and the files that it has begun."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.utils import file_utils

from baton.adapters.state_files import Bits, can_be_stored
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
    """The states of the callbacks of one call of `fit`. `note`: called once with what cannot be saved.

    Raises:
        ProgramError: a callback does what Baton does, and would work against it.
    """

    def __init__(self, callbacks: Sequence[Any], note: Callable[[str], object]) -> None:
        self._callbacks = list(callbacks)
        self._note: Callable[[str], object] | None = note
        self._files = {k: _WrittenFile(one) for k, one in enumerate(self._callbacks) if is_kind(one, "ModelCheckpoint")}
        for one in self._callbacks:
            if isinstance(one, keras.callbacks.BackupAndRestore):
                raise ProgramError(
                    "callbacks: BackupAndRestore restores a state of its own, which Baton would overwrite: leave it "
                    "out. baton.keras.fit already continues at the exact step"
                )

    def capture(self) -> list[dict[str, Any]]:
        """The state of each callback, as copies."""
        left_out: list[str] = []
        states = [{"kind": _kind(one), **self._state(k, one, left_out)} for k, one in enumerate(self._callbacks)]
        if left_out and self._note is not None:
            self._note(
                f"these attributes of callbacks cannot be saved and begin anew after a restart: {', '.join(left_out)}. "
                "Give the callback get_state() and set_state(state), or keep only numbers, text, lists and arrays in it"
            )
        self._note = None
        return states

    def _state(self, number: int, callback: Any, left_out: list[str]) -> dict[str, Any]:
        if callable(getattr(callback, "get_state", None)) and callable(getattr(callback, "set_state", None)):
            own = copy.deepcopy(callback.get_state())
            if not can_be_stored(own):
                raise ProgramError(
                    f"callbacks: {_kind(callback)}.get_state() returned what a save cannot hold: use dicts, lists, "
                    "tuples, numbers, text, bytes, None and NumPy arrays"
                )
            return {"own": own}
        state: dict[str, Any] = {"attributes": self._attributes(callback, left_out)}
        if hasattr(callback, "_set_monitor_op"):
            state["monitors"] = callback.monitor_op is not None
        if is_kind(callback, "CSVLogger"):
            state["rows"] = _rows_of(callback)
        if number in self._files:
            state["file"] = self._files[number].capture()
        return state

    def _attributes(self, callback: Any, left_out: list[str]) -> dict[str, Any]:
        names = ATTRIBUTES.get(_own_name(callback))
        if names is not None:
            return {name: _copied(name, getattr(callback, name)) for name in names if hasattr(callback, name)}
        found = {}
        for name, value in vars(callback).items():
            if name in _NEVER:
                continue
            if can_be_stored(value):
                found[name] = _copied(name, value)
            elif not (isinstance(value, type | np.ufunc) or inspect.isroutine(value)):
                left_out.append(f"{type(callback).__qualname__}.{name}")
        return found

    def restore(self, states: list[dict[str, Any]], epoch: int) -> None:
        """Put back what `capture` returned. Call it after `on_train_begin`, with the epoch that continues.

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
            if "rows" in state:
                _put_rows_back(callback, state["rows"])
            if number in self._files:
                self._files[number].restore(state["file"])
            if is_kind(callback, "ProgbarLogger"):
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


def _rows_of(logger: Any) -> dict[str, Any] | None:
    """The file of a CSVLogger so far. `on_train_begin` of the next process will delete it."""
    if logger.csv_file is None or logger.csv_file.closed:
        return None
    logger.csv_file.flush()
    return {"content": Path(logger.filename).read_bytes(), "keys": logger.keys}


def _put_rows_back(logger: Any, rows: dict[str, Any] | None) -> None:
    if rows is None:
        return
    logger.csv_file.close()
    Path(logger.filename).write_bytes(rows["content"])
    # Keras's own function for files: it sets the newline mode that the CSV writer was made with.
    logger.csv_file = file_utils.File(logger.filename, "a")
    logger.keys, logger.writer = rows["keys"], None
    logger.append_header = not rows["content"]


class _WrittenFile:
    """The newest file of a ModelCheckpoint. It goes into each save, because the next machine may not have it."""

    def __init__(self, callback: Any) -> None:
        self._paths: list[str] = []
        self._read: tuple[tuple[int, int], Any] | None = None
        original = callback._get_file_path

        def remembered(*args: Any, **kwargs: Any) -> str:
            path = str(original(*args, **kwargs))
            if path not in self._paths[-1:]:
                self._paths = [*[one for one in self._paths if Path(one).is_file()][-1:], path]
                self._read = None
            return path

        callback._get_file_path = remembered

    def capture(self) -> dict[str, Any] | None:
        """Its path and content."""
        for path in reversed(self._paths):
            file = Path(path)
            if file.is_file():
                status = file.stat()
                version = (status.st_mtime_ns, status.st_size)
                if self._read is None or self._read[0] != version:
                    self._read = version, np.fromfile(file, np.uint8)
                return {"path": path, "content": self._read[1]}
        return None

    def restore(self, saved: dict[str, Any] | None) -> None:
        """Write the file if it is not there."""
        if saved is None:
            return
        self._paths = [saved["path"]]
        file = Path(saved["path"])
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            saved["content"].tofile(file)
