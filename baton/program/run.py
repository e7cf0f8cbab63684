"""The run that `baton.init` returns."""

from __future__ import annotations

import atexit
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from baton.program import checks
from baton.program.backend import Backend, Saved, SaveRequest
from baton.program.call_lock import CallLock
from baton.program.control import Control
from baton.program.errors import ProgramError, Stopped
from baton.program.forks import tell_after_fork
from baton.program.protocol import CANCELLED
from baton.program.saving import SaveFolder, Saver
from baton.program.signals import StopSignals

_CLOSED = "the run is closed; without a worker, call baton.init() again"
FORKED = "this process was forked from the one that called baton.init(); only that one may use the run"


class Run:
    """The run of this process: what it continues from, what it saves and records, and when it must stop.

    The order in a training loop is: do a step, `log`, save if `save_due`, `check`. All calls may come from any thread.
    `params`: of the job. `job`: its id, None without a worker. `attempt`: counts the starts of the run, from 1.

    >>> import baton, tempfile
    >>> def train(folder, stop_after):
    ...     with baton.init(folder) as run:
    ...         saved = run.restore()
    ...         total = saved.cursor["total"] if saved else 0
    ...         for step in range(saved.step if saved else 0, stop_after):
    ...             total += step
    ...             run.log({"total": total}, step=step)
    ...             if run.save_due() or step + 1 == stop_after:
    ...                 with run.save(step=step + 1, cursor={"total": total}):
    ...                     pass  # a real program writes its arrays into the folder
    ...             run.check()
    ...     return total
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     train(folder, stop_after=3), train(folder, stop_after=5)
    (3, 10)
    """

    def __init__(self, backend: Backend, control: Control, signals: StopSignals | None = None) -> None:
        self._backend = backend
        self._control = control
        self._signals = signals
        self._saver = Saver(backend, control)
        self._saves_at_check = 0
        self._epoch_lock = CallLock()
        self._last_epoch = backend.saved.last_epoch if backend.saved else None
        self._unusable = ""
        self._must_restore = backend.saved is not None
        self._recorded = False
        self.params = backend.params
        self.job = backend.job
        self.attempt = backend.attempt
        tell_after_fork(self)

    def restore(self) -> Saved | None:
        """The save from which the run continues; None if it begins.

        Call it before the first `log`, `epoch` or `save`.

        Raises:
            ProgramError: something was recorded before.
        """
        self._usable()
        if self._recorded:
            raise ProgramError("call run.restore() before the first log(), epoch() or save()")
        self._must_restore = False
        return self._backend.saved

    def save_due(self) -> bool:
        """Whether the program should save at this step: by the cadence, or because it must stop.

        It costs less than a microsecond; call it after each step.
        """
        self._usable()
        self._control.calls += 1
        return self._control.save_due()

    def save(
        self,
        *,
        step: int,
        cursor: dict[str, Any] | None = None,
        epoch: int = 0,
        metrics: Mapping[str, Any] | None = None,
    ) -> SaveFolder:
        """A save: `with run.save(step=..., cursor=...) as folder:` gives an empty folder for any files.

        The save is complete at the end of the block, or not there at all. Below a worker, the upload goes on in the
        background.

        `step`: steps finished since the beginning of the run; it never decreases. `cursor`: a JSON object of at most
        1 MiB: positions, seeds, counters. `epoch`: returned by `restore`. `metrics`: of the saved state.

        Raises:
            ProgramError: the step is less than that of the last save, the cursor is not JSON, a metric is not a finite
                number, another save is open, or an earlier save in the background failed. At the end of the block: the
                files cannot be stored. The earlier saves stay.

        >>> import baton, tempfile
        >>> with tempfile.TemporaryDirectory() as folder, baton.init(folder) as run:  # doctest: +ELLIPSIS
        ...     with run.save(step=10, cursor={"next": 10}) as files:
        ...         written = (files / "weights.bin").write_bytes(b"1234")
        ...     with run.save(step=9):
        ...         pass
        Traceback (most recent call last):
        ...
        baton.program.errors.ProgramError: save(step=9): the last save has step 10, and steps only increase. ...
        """
        return self._saver.folder(self._request(step, cursor, epoch, metrics))

    def save_in_background(
        self,
        *,
        step: int,
        write: Callable[[Path], object],
        cursor: dict[str, Any] | None = None,
        epoch: int = 0,
        metrics: Mapping[str, Any] | None = None,
        waited: float = 0.0,
    ) -> None:
        """Like `save`, but a thread calls `write(folder)` while the training continues.

        `write` must not read what the training changes: copy the arrays first. If the previous save in the background
        is not complete, this call waits for it. `check` waits too before it raises Stopped. `waited`: seconds that the
        copy took; they count as a cost of the save when a worker chooses the cadence.

        Raises:
            ProgramError: as `save`. An error of `write` is raised by the next call of `check`, `save` or `close`.

        >>> import baton, json, tempfile
        >>> weights = [0.5, 1.5]
        >>> with tempfile.TemporaryDirectory() as folder, baton.init(folder) as run:
        ...     copied = list(weights)
        ...     run.save_in_background(step=1, write=lambda f: (f / "w.json").write_text(json.dumps(copied)))
        """
        self._saver.in_background(self._request(step, cursor, epoch, metrics), write, waited)

    def log(self, metrics: Mapping[str, Any], *, step: int) -> None:
        """Adds a point at this step to the series of each metric: what changes with each step.

        `metrics`: name -> number, or anything that `float()` accepts. A name has letters, digits and _ . / -.

        Raises:
            ProgramError: a name is invalid, or a value is not a finite number.
        """
        self._recording()
        if type(metrics) is not dict:
            checks.mapping(metrics, "metrics", "a dict of names and numbers")
        at, now = checks.count(step, "step"), time.time()
        points = [(*checks.metric(name, value, "metrics"), now) for name, value in metrics.items()]
        if points:
            self._backend.log([(name, at, value, now) for name, value, now in points])
        self._control.calls += 1
        self._control.step = at

    def epoch(self, metrics: Mapping[str, Any], *, epoch: int, step: int) -> None:
        """Adds a row to the history: what is measured once an epoch.

        `epoch`: counts from 1, at most 100,000, and increases from row to row. `step`: steps finished.

        Raises:
            ProgramError: the epoch is 0, too large or not after that of the last row, a name is invalid, or a value is
                not a finite number.
        """
        self._recording()
        number = checks.epoch(epoch)
        at, values = checks.count(step, "step"), checks.metrics(metrics)
        with self._epoch_lock:
            if self._last_epoch is not None and number <= self._last_epoch:
                raise ProgramError(f"epoch: {number} comes after {self._last_epoch}, and epochs only increase")
            self._backend.epoch(number, at, values)
            self._last_epoch = number
        self._control.calls += 1

    def check(self) -> None:
        """Call it at the end of each step, after the save. Raises Stopped if the run must stop and is saved.

        After a request to stop, it returns until the program has made a save. If the job was cancelled, it raises at
        once.

        Raises:
            Stopped: the run must stop now.
            ProgramError: a save in the background failed.
        """
        self._usable()
        control = self._control
        control.calls += 1
        saved = control.saves_begun > self._saves_at_check
        self._saves_at_check = control.saves_begun
        stop = control.stop
        if stop is None:
            self._saver.raise_failure()
        elif stop.why == CANCELLED or saved:
            if stop.why != CANCELLED:
                self._saver.wait()
            self._backend.stopped(self._saver.step)
            raise Stopped(stop.why, self._saver.step)

    @property
    def stopping(self) -> bool:
        """Whether the run must stop. `check` raises Stopped after the next save."""
        return self._control.stop is not None

    @property
    def closed(self) -> bool:
        """Whether the run cannot be used any more."""
        return bool(self._unusable)

    def publish(self, name: str, path: str | os.PathLike[str]) -> None:
        """Makes a copy of the file an artifact of the job with this name. A later file replaces it.

        Raises:
            ProgramError: the name is invalid, or there is no such file.
        """
        self._usable()
        checks.artifact_name(name)
        file = checks.path(path, "path")
        if not file.is_file():
            what = "a folder: publish one file, such as an archive of it" if file.is_dir() else "not a file"
            raise ProgramError(f"publish({name!r}): {path} is {what}")
        self._backend.publish(name, file)

    def progress(
        self,
        *,
        step: int | None = None,
        total: int | None = None,
        epoch: int | None = None,
        epochs: int | None = None,
    ) -> None:
        """Tells how far the run is, for the dashboard: `step` of `total`, `epoch` of `epochs`."""
        self._usable()
        given = {"step": step, "total": total, "epoch": epoch, "epochs": epochs}
        self._backend.progress(*(None if value is None else checks.count(value, name) for name, value in given.items()))
        self._control.calls += 1

    def note(self, text: str) -> None:
        """Adds a line to the events of the job. Only its first 20,000 characters are kept."""
        self._usable()
        self._backend.note(str(text)[: checks.MAX_NOTE])

    def data(self, name: str) -> Path:
        """The folder or file of a data set of the job, by its name in `data` of the spec.

        Without a worker: the path that was given to `init`, else `data/NAME` in the working directory.

        Raises:
            ProgramError: the data set does not exist.
        """
        self._usable()
        return self._backend.data(name)

    def close(self) -> None:
        """Waits for the save in the background, and writes what is buffered. Called at the end of the process too.

        Raises:
            ProgramError: a save in the background failed.
        """
        if self._unusable:
            return
        try:
            self._saver.wait()
        finally:
            self._unusable = _CLOSED
            self._backend.close()
            if self._signals is not None:
                self._signals.restore()
            atexit.unregister(self.close)

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.close()

    def after_fork(self) -> None:
        """Called in a forked process: only the process that called `init` may use the run."""
        if not self._unusable:
            self._unusable = FORKED
            self._backend.abandon()
            if self._signals is not None:
                self._signals.restore()

    def _request(
        self, step: int, cursor: dict[str, Any] | None, epoch: int, metrics: Mapping[str, Any] | None
    ) -> SaveRequest:
        self._recording()
        at = checks.count(step, "step")
        self._control.step = at
        return SaveRequest(at, checks.count(epoch, "epoch"), checks.cursor(cursor), checks.metrics(metrics or {}))

    def _recording(self) -> None:
        self._usable()
        if self._must_restore:
            step = self._saver.step
            raise ProgramError(
                f"the run has a save at step {step}: call run.restore() before the first log(), epoch() or save(), and "
                "continue from there; without a worker, delete its folder to start from the beginning"
            )
        self._recorded = True

    def _usable(self) -> None:
        if self._unusable:
            raise ProgramError(self._unusable)
