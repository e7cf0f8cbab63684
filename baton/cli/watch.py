"""Watches a job: live in a terminal, otherwise one line for each change."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from baton.cli.app import say
from baton.cli.render import job_panel, metric_text
from baton.cli.silent_worker import later, silence
from baton.cli.times import stamp
from baton.client.client import ENDED, Client
from baton.client.errors import Unreachable
from baton.domain.progress_text import position_text
from baton.domain.views import JobView

TICKS_A_SECOND = 1.0


class Watcher:
    """Shows the states of one job. In a terminal, ages are updated between two answers."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._shown: tuple[JobView, float] | None = None
        self._live: Live | None = None
        if console.is_terminal:
            self._live = Live(console=console, refresh_per_second=TICKS_A_SECOND, get_renderable=self._panel)
        self._last: tuple[object, ...] = ()

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def show(self, job: JobView) -> None:
        """Shows the current state of the job."""
        if self._live:
            self._shown = job, self._clock()
            self._live.refresh()
            return
        key = _key(job)
        if key != self._last:
            self._last = key
            self._console.print(plain_line(job), soft_wrap=True)

    def _panel(self) -> RenderableType:
        if self._shown is None:
            return Text()
        job, shown = self._shown
        return job_panel(later(job, self._clock() - shown))

    def note(self, text: str) -> None:
        """Prints a permanent line."""
        self._console.print(Text(text), soft_wrap=True)


def _key(job: JobView) -> tuple[object, ...]:
    # A log file gets a line at the end of each epoch and at each change of state, not at each step.
    progress, silent = job.progress, job.silent_seconds is not None
    epoch = progress.epoch if progress else 0
    waits = job.waiting_for if job.status == "queued" else None
    ended = job.status in ENDED and job.version
    return (job.status, waits, job.attempts, job.preemptions, epoch, silent, ended)


def plain_line(job: JobView, at: datetime | None = None) -> Text:
    """A job on one line. `at`: the time of this state, by default the service's time."""
    text = f"{stamp(at or job.as_of or datetime.now(UTC))}  {job.name}: {job.status}{_cause(job)}"
    if job.waiting_for:
        text += f", waits for {job.waiting_for}"
    if quiet := silence(job):
        text += f", {quiet}"
    if p := job.progress:
        text += f", {position_text(p, of='/')}"
    text += "".join(f", {name} {metric_text(job.metrics[name])}" for name in _metrics_shown(job))
    if job.preemptions:
        text += f", interrupted {job.preemptions} time{'s' if job.preemptions > 1 else ''}"
    return Text(text)


def _cause(job: JobView) -> str:
    """Why the job is not running, if there is a reason."""
    if job.status not in {*ENDED, "recovering", "paused"}:
        return ""
    reason = f"({job.reason})" if job.reason else ""
    said = " ".join(filter(None, [job.message, reason]))
    return f": {said}" if said else ""


SHOWN = ("loss", "val_loss", "val_accuracy")


def _metrics_shown(job: JobView) -> list[str]:
    """The metrics on the line of a job: those of SHOWN, then the one that decides which epoch is the best.

    A job that has none of these: its first ones, as many as SHOWN has.
    """
    best = job.best.metric if job.best else ""
    found = [name for name in dict.fromkeys((*SHOWN, best)) if name in job.metrics]
    return found or list(job.metrics)[: len(SHOWN)]


def watch(client: Client, job_id: str, console: Console) -> JobView:
    """Shows the job until it has ended. Prints a note at the start of an outage, and continues after it."""
    with Watcher(console) as watcher:
        return _follow(client, job_id, watcher.show, watcher.note)


def watch_json(client: Client, job_id: str) -> JobView:
    """Prints the job as JSON, one line for each change, until it has ended."""
    return _follow(client, job_id, lambda job: print(job.model_dump_json(), flush=True), say)


def _follow(client: Client, job_id: str, show: Callable[[JobView], object], note: Callable[[str], object]) -> JobView:
    unreachable = False

    def outage(error: Unreachable) -> None:
        nonlocal unreachable
        if not unreachable:
            note(f"{error}; trying again")
        unreachable = True

    for job in client.follow(job_id, on_outage=outage):
        unreachable = False
        show(job)
    return job
