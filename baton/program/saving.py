"""One save at a time: in the loop of the program, or in a thread."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from baton.program.backend import Backend, Mark, SaveRequest
from baton.program.control import Control
from baton.program.errors import ProgramError


class Saver:
    """Begins, writes and commits saves in the order of their steps."""

    def __init__(self, backend: Backend, control: Control) -> None:
        self._backend = backend
        self._control = control
        self._busy = threading.Lock()
        self._open: SaveRequest | None = None
        self._unused: SaveRequest | None = None
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self.step = backend.saved.step if backend.saved else None
        """Steps finished in the last save."""

    def folder(self, save: SaveRequest) -> SaveFolder:
        """The context manager of a save in the loop."""
        self._ready_for(save)
        self._unused = save
        return SaveFolder(self, save)

    def in_background(self, save: SaveRequest, write: Callable[[Path], object], waited: float) -> None:
        """Starts a thread that calls `write` and commits. `waited`: seconds that the training has waited before."""
        began = time.monotonic() - waited
        self._ready_for(save)
        folder, mark = self.begin(save), self._backend.mark()
        stall = time.monotonic() - began
        self._thread = threading.Thread(target=self._write, args=(folder, save, mark, stall, write), name="baton-save")
        self._thread.start()

    def wait(self) -> None:
        """Waits for the save in the background.

        Raises:
            ProgramError: a save in the background failed, now or before.
        """
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()
            self._thread = None
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raises the error of a save in the background, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise ProgramError(f"a save in the background failed: {failure}") from failure

    def begin(self, save: SaveRequest) -> Path:
        """Marks the save as begun. Returns its empty folder."""
        self._unused = None
        if not self._busy.acquire(blocking=False):
            raise self._nested(save)
        self._open = save
        self._control.save_begins()
        try:
            return self._backend.new_folder()
        except OSError as error:
            self._failed()
            raise ProgramError(f"save(step={save.step}): its folder cannot be made: {error}") from error

    def commit(self, folder: Path, save: SaveRequest, mark: Mark | None, stall: float) -> None:
        """Ends a save. `mark`: what belongs to it; None: all so far. `stall`: seconds for which training waited."""
        try:
            self._backend.commit(folder, save, mark or self._backend.mark(), stall)
        except OSError as error:
            self.discard(folder)
            raise ProgramError(f"save(step={save.step}) failed, the earlier saves stay: {error}") from error
        except BaseException:
            self.discard(folder)
            raise
        self.step = save.step
        self._control.save_ended()
        self._end()

    def discard(self, folder: Path) -> None:
        """Ends a save that is not complete."""
        shutil.rmtree(folder, ignore_errors=True)
        self._failed()

    def _failed(self) -> None:
        self._control.save_failed()
        self._end()

    def _end(self) -> None:
        self._open = None
        self._busy.release()

    def _nested(self, save: SaveRequest) -> ProgramError:
        outer = f"save(step={self._open.step})" if self._open else "another save"
        return ProgramError(f"save(step={save.step}) inside {outer}: end the first one before")

    def _ready_for(self, save: SaveRequest) -> None:
        if self._unused is not None:
            step, self._unused = self._unused.step, None
            raise ProgramError(f"save(step={step}) wrote nothing: write `with run.save(...) as folder:`")
        if self._thread is None and self._open is not None:
            raise self._nested(save)
        self.wait()
        if self.step is not None and save.step < self.step:
            raise ProgramError(
                f"save(step={save.step}): the last save has step {self.step}, and steps only increase. `step` is the "
                "number of steps finished since the beginning of the run, not since the restore"
            )

    def _write(
        self, folder: Path, save: SaveRequest, mark: Mark, stall: float, write: Callable[[Path], object]
    ) -> None:
        try:
            write(folder)
        except BaseException as error:
            self.discard(folder)
            self._failure = error
            return
        try:
            self.commit(folder, save, mark, stall)
        except BaseException as error:
            self._failure = error


class SaveFolder:
    """What `Run.save` returns. The block gets a folder; the save is committed at the end of the block.

    If the block raises, nothing is saved, and the earlier saves stay.
    """

    def __init__(self, saver: Saver, save: SaveRequest) -> None:
        self._saver = saver
        self._save = save
        self._folder: Path | None = None
        self._began = 0.0

    def __enter__(self) -> Path:
        """An empty folder."""
        if self._folder is not None:
            raise ProgramError("a save can be entered once; call run.save(...) again")
        self._began = time.monotonic()
        self._folder = self._saver.begin(self._save)
        return self._folder

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Commits the save."""
        assert self._folder is not None
        if kind is None:
            self._saver.commit(self._folder, self._save, None, time.monotonic() - self._began)
        else:
            self._saver.discard(self._folder)
