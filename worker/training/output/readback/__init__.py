"""Loads a job's .keras file back in plain Keras beside the training: a file that nobody can read is told early."""

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
    "The job goes on and its checkpoints are whole. Use Keras's own layers, or a class with "
    "keras.saving.register_keras_serializable(), in place of Python lambdas and classes that are not registered"
)
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What loading gave. `error`: what plain Keras said, or nothing. `with_package`: it loads with the package."""

    error: str
    with_package: bool

    def text(self, name: str, network: str) -> str:
        """The event's message."""
        if self.with_package:
            return f"plain Keras loads {name} only after the package of network {network} is imported: {self.error}"
        return f"plain Keras cannot load {name}: {self.error}. {ADVICE}"


class Readback:
    """Has the first .keras file of this process loaded back. A failure of the check itself costs a line in the log."""

    def __init__(
        self, control: Control, network: str, *, enabled: bool, module: str = "worker.training.output.readback"
    ) -> None:
        self._control, self._network, self._enabled, self._module = control, network, enabled, module
        self._helper = Helper()
        self._thread: threading.Thread | None = None

    def watching(self, name: str, write: Callable[[Path], None]) -> Callable[[Path], None]:
        """What writes a file as `write` does, and begins the check if the file is the first one."""

        def make(path: Path) -> None:
            write(path)
            self._begin(name, path)

        return make

    def finish(self, between: Callable[[], None]) -> None:
        """Waits for a check that runs. Calls `between` meanwhile, which may raise to give it up."""
        while self._thread is not None and self._thread.is_alive():
            self._thread.join(LOOK_SECONDS)
            between()

    def close(self) -> None:
        """Gives up a check that runs, and does not wait for it."""
        self._helper.give_up()

    def _begin(self, name: str, path: Path) -> None:
        if not self._enabled or self._thread is not None or self._helper.given_up:
            return
        try:
            folder = _copied(path)
        except OSError as error:  # a full disk: the next file is tried
            log.warning("%s was not loaded back: %s", name, error)
            return
        self._thread = threading.Thread(target=self._run, args=(name, folder), name="readback", daemon=True)
        self._thread.start()

    def _run(self, name: str, folder: tempfile.TemporaryDirectory[str]) -> None:
        try:
            with folder:
                self._tell(name, self._load(Path(folder.name) / MODEL))
        except Exception as error:  # the check is worth no job
            if not self._helper.given_up:
                log.warning("%s was not loaded back: %s: %s", name, type(error).__name__, error)

    def _load(self, copy: Path) -> Found:
        printed = self._helper.run(self._module, str(copy), self._network, seconds=LONGEST_SECONDS)
        return Found(**json.loads(printed.splitlines()[-1]))

    def _tell(self, name: str, found: Found) -> None:
        if not found.error:
            log.info("plain Keras loads %s", name)
            return
        log.warning("%s", found.text(name, self._network))
        data = {"name": name, "error": found.error[:200], "with_package": found.with_package}
        self._control.note(KIND, found.text(name, self._network), data)


def _copied(path: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder with a copy of the file: the file itself is gone once it is uploaded. Raises OSError."""
    folder = tempfile.TemporaryDirectory(prefix="baton-readback-")
    try:
        shutil.copyfile(path, Path(folder.name) / MODEL)
    except OSError:
        folder.cleanup()
        raise
    return folder
