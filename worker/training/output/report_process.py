"""Has reports made beside the training: one process of low priority at a time; its failure costs a note."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from worker.attempt.protocols import Control
from worker.ipc.progress import advanced
from worker.training.output.helper_process import Helper
from worker.training.output.report.inputs import ReportInputs

REPORT_SECONDS = 60.0
"""At least so long from one report of a running job to the next."""

LONGEST_SECONDS = 120.0
LOOK_SECONDS = 0.05
PAGE = "report.html"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".md": "text/markdown; charset=utf-8",
    ".png": "image/png",
}
log = logging.getLogger(__name__)


class ReportProcess:
    """For the training thread. `every`: seconds between two reports of a running job; `command` makes one."""

    def __init__(
        self,
        control: Control,
        *,
        enabled: bool,
        every: float = REPORT_SECONDS,
        module: str = "worker.training.output.report",
    ) -> None:
        self._control, self._enabled, self._every, self._module = control, enabled, every, module
        self._job: _PrintJob | None = None
        self._next = 0.0

    def offer(self, gather: Callable[[], ReportInputs]) -> None:
        """Has a report made of what `gather` gives now, unless one is under way or was just made. Waits for nothing."""
        if not self._enabled or time.monotonic() < self._next or (self._job and self._job.under_way):
            return
        self._next = time.monotonic() + self._every
        self._start(gather, all_files=False)

    def finish(self, gather: Callable[[], ReportInputs], between: Callable[[], None]) -> None:
        """Makes the last report; calls `between`, which may raise to give it up, while it is being made."""
        if not self._enabled:
            return
        self.close()
        self._start(gather, all_files=True)
        give_up = time.monotonic() + 2 * LONGEST_SECONDS
        while self._job is not None and self._job.wait(LOOK_SECONDS):
            advanced("waiting for the report")
            between()
            if time.monotonic() > give_up:
                _failed(self._control, "it was not made in time")
                self.close()

    def close(self) -> None:
        """Gives up what is being made, and does not wait for it."""
        if self._job is not None:
            self._job.give_up()
            self._job = None

    def _start(self, gather: Callable[[], ReportInputs], *, all_files: bool) -> None:
        try:
            self._job = _PrintJob(self._control, gather(), self._module, all_files)
        except Exception as error:  # whatever it is, training goes on
            self._job = None
            _failed(self._control, f"{type(error).__name__}: {error}")


class _PrintJob:
    """One report: a thread that writes the material, waits for the process, and hands over the files."""

    def __init__(self, control: Control, material: ReportInputs, module: str, all_files: bool) -> None:
        self._control, self._material, self._module, self._all = control, material, module, all_files
        self._helper = Helper()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)
        self._thread.start()

    @property
    def under_way(self) -> bool:
        """Whether it is still being made."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Waits, and says whether it is still being made."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def give_up(self) -> None:
        """Kills the process; nothing of it is handed over."""
        self._helper.give_up()

    def _run(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="baton-report-") as folder:
                self._make(Path(folder))
        except Exception as error:  # a report is worth no job
            if not self._helper.given_up:
                _failed(self._control, f"{type(error).__name__}: {error}")

    def _make(self, folder: Path) -> None:
        begun = time.monotonic()
        job_record = self._control.job_record()
        material = self._material.told(job_record.job, job_record.attempts) if job_record else self._material
        given, made = folder / "given", folder / "made"
        given.mkdir()
        made.mkdir()
        material.write(given)
        self._helper.run(self._module, str(given), str(made), seconds=LONGEST_SECONDS)
        self._hand_over(made)
        log.info("made a report in %.1f s", time.monotonic() - begun)

    def _hand_over(self, made: Path) -> None:
        for path in sorted(made.iterdir()):
            if not self._helper.given_up and (self._all or path.name == PAGE):
                self._control.publish(path.name, _writer(path.read_bytes()), TYPES[path.suffix])


def _writer(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def _failed(control: Control, why: str) -> None:
    log.warning("no report: %s", why)
    try:
        control.note("report_failed", f"the report could not be made: {why}")
    except Exception as error:  # the attempt may be over
        log.info("nor could that be told: %s", error)
