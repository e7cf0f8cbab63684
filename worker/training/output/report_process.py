"""Makes reports while training continues, in one process of low priority at a time. A failure only adds an event."""

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
"""Minimum time between two reports of a running job."""

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
    """Used by the training thread. `every`: seconds between two reports of a running job; `module` makes one."""

    def __init__(
        self,
        control: Control,
        *,
        enabled: bool,
        every: float = REPORT_SECONDS,
        module: str = "worker.training.output.report",
    ) -> None:
        self._control, self._enabled, self._every, self._module = control, enabled, every, module
        self._task: _ReportTask | None = None
        self._next = 0.0

    def offer(self, gather: Callable[[], ReportInputs]) -> None:
        """Starts a report from the result of `gather`. Does nothing if one is in progress or the last one is recent."""
        if not self._enabled or time.monotonic() < self._next or (self._task and self._task.under_way):
            return
        self._next = time.monotonic() + self._every
        self._start(gather, all_files=False)

    def finish(self, gather: Callable[[], ReportInputs], between: Callable[[], None]) -> None:
        """Makes the final report.

        Calls `between` repeatedly until the report is ready. An exception of `between` cancels the report.
        """
        if not self._enabled:
            return
        self.close()
        self._start(gather, all_files=True)
        deadline = time.monotonic() + 2 * LONGEST_SECONDS
        while self._task is not None and self._task.wait(LOOK_SECONDS):
            advanced("waiting for the report")
            between()
            if time.monotonic() > deadline:
                _failed(self._control, "it was not made in time")
                self.close()

    def close(self) -> None:
        """Cancels a report in progress. Does not wait for its end."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _start(self, gather: Callable[[], ReportInputs], *, all_files: bool) -> None:
        try:
            self._task = _ReportTask(self._control, gather(), self._module, all_files)
        except Exception as error:  # training continues after any error
            self._task = None
            _failed(self._control, f"{type(error).__name__}: {error}")


class _ReportTask:
    """One report: a thread that writes the inputs, waits for the process, and publishes the files."""

    def __init__(self, control: Control, inputs: ReportInputs, module: str, all_files: bool) -> None:
        self._control, self._inputs, self._module, self._all = control, inputs, module, all_files
        self._helper = Helper()
        self._thread = threading.Thread(target=self._run, name="report", daemon=True)
        self._thread.start()

    @property
    def under_way(self) -> bool:
        """Whether the report is still in progress."""
        return self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Waits at most `seconds`. Returns whether the report is still in progress."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Kills the process. No more of its files are published."""
        self._helper.cancel()

    def _run(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="baton-report-") as folder:
                self._make(Path(folder))
        except Exception as error:  # a failed report must not fail the job
            if not self._helper.cancelled:
                _failed(self._control, f"{type(error).__name__}: {error}")

    def _make(self, folder: Path) -> None:
        begun = time.monotonic()
        job_record = self._control.job_record()
        inputs = self._inputs.with_service_data(job_record.job, job_record.attempts) if job_record else self._inputs
        source, made = folder / "source", folder / "made"
        source.mkdir()
        made.mkdir()
        inputs.write(source)
        self._helper.run(self._module, str(source), str(made), seconds=LONGEST_SECONDS)
        for path in sorted(made.iterdir()):
            if not self._helper.cancelled and (self._all or path.name == PAGE):
                self._control.publish(path.name, _writer(path.read_bytes()), TYPES[path.suffix])
        log.info("made a report in %.1f s", time.monotonic() - begun)


def _writer(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def _failed(control: Control, why: str) -> None:
    log.warning("the report could not be made: %s", why)
    try:
        control.note("report_failed", f"the report could not be made: {why}")
    except Exception as error:  # the attempt may be over
        log.info("the event report_failed could not be added: %s", error)
