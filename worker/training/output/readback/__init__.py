"""Loads a job's .keras file in plain Keras while training continues, to report an unreadable file early."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.attempt.protocols import Control
from worker.training.output.helper_process import Helper

LONGEST_SECONDS = 600.0
LOOK_SECONDS = 0.05
KIND = "file_unreadable"
MODEL = "model.keras"
ADVICE = (
    "The job continues, and its checkpoints are complete. Use Keras's own layers, or a class with "
    "keras.saving.register_keras_serializable(), instead of Python lambdas and classes that are not registered"
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """The result. `error`: the error of plain Keras; empty: none. `with_package`: the file loads with the package."""

    error: str
    with_package: bool

    def text(self, name: str, network: str) -> str:
        """The event's message."""
        if self.with_package:
            return f"plain Keras loads {name} only after the package of network {network} is imported: {self.error}"
        return f"plain Keras cannot load {name}: {self.error}. {ADVICE}"


class Readback:
    """Checks that the first .keras file of this process can be loaded. A failed check is only logged."""

    def __init__(
        self, control: Control, network: str, *, enabled: bool, module: str = "worker.training.output.readback"
    ) -> None:
        self._control, self._network, self._enabled, self._module = control, network, enabled, module
        self._helper = Helper()
        self._thread: threading.Thread | None = None

    def watching(self, name: str, write: Callable[[Path], None]) -> Callable[[Path], None]:
        """A function that writes a file with `write`, and begins the check if it is the first file."""

        def make(path: Path) -> None:
            write(path)
            self._begin(name, path)

        return make

    def finish(self, between: Callable[[], None]) -> None:
        """Waits for a check in progress. Calls `between` meanwhile, which may raise to cancel the check."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(LOOK_SECONDS)
            between()

    def close(self) -> None:
        """Cancels a check in progress. Does not wait for its end."""
        self._helper.cancel()

    def _begin(self, name: str, path: Path) -> None:
        if not self._enabled or self._thread is not None or self._helper.cancelled:
            return
        try:
            folder = _copied(path)
        except OSError as error:  # for example, the disk is full: the next file is checked instead
            log.warning("%s was not checked: %s", name, error)
            return
        self._thread = threading.Thread(target=self._run, args=(name, folder), name="readback", daemon=True)
        self._thread.start()

    def _run(self, name: str, folder: tempfile.TemporaryDirectory[str]) -> None:
        try:
            with folder:
                file = str(Path(folder.name) / MODEL)
                printed = self._helper.run(self._module, file, self._network, seconds=LONGEST_SECONDS)
                self._report(name, Found(**json.loads(printed.splitlines()[-1])))
        except Exception as error:  # a failed check must not fail the job
            if not self._helper.cancelled:
                log.warning("%s was not checked: %s: %s", name, type(error).__name__, error)

    def _report(self, name: str, found: Found) -> None:
        if not found.error:
            log.info("plain Keras loads %s", name)
            return
        log.warning("%s", found.text(name, self._network))
        data = {"name": name, "error": found.error[:200], "with_package": found.with_package}
        self._control.note(KIND, found.text(name, self._network), data)


def _copied(path: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder with a copy of the file, because the original is deleted after its upload. Raises OSError."""
    folder = tempfile.TemporaryDirectory(prefix="baton-readback-")
    try:
        shutil.copyfile(path, Path(folder.name) / MODEL)
    except OSError:
        folder.cleanup()
        raise
    return folder
