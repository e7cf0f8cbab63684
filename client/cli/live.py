"""Watching a job: live in a terminal, one line a change elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from client.api import ENDED, BatonClient
from client.cli.app import say
from client.cli.render import job_panel
from client.errors import Unreachable
from core.domain.views import JobView


class Watcher:
    """Shows one job after the other state of it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
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
        """What the job looks like now."""
        if self._live:
            self._live.update(job_panel(job), refresh=True)
            return
        key = _key(job)
        if key != self._last:
            self._last = key
            self._console.print(plain_line(job), soft_wrap=True)

    def note(self, text: str) -> None:
        """A line that stays."""
        self._console.print(Text(text), soft_wrap=True)


def _key(job: JobView) -> tuple[object, ...]:
    # Not every step is worth a line of a log file: the end of an epoch and each change of state are.
    progress = job.progress
    return (job.status, job.attempts, progress.epoch if progress else 0, job.status in ENDED and job.version)


def plain_line(job: JobView) -> Text:
    """A job on one line."""
    text = f"{job.name}: {job.status}"
    if p := job.progress:
        text += f", stage {p.stage}/{p.stages}, epoch {p.epoch}/{p.epochs}, step {p.global_step}/{p.total_steps}"
    if job.metrics:
        text += "".join(f", {name} {value:.4f}" for name, value in job.metrics.items() if name in SHOWN)
    if job.status in ENDED and job.message:
        text += f": {job.message}"
    return Text(text)


SHOWN = ("loss", "val_loss", "val_accuracy")


def watch(client: BatonClient, job_id: str, console: Console) -> JobView:
    """Shows the job until it has ended; outages are said once and waited out."""
    with Watcher(console) as watcher:
        return _follow(client, job_id, watcher.show, watcher.note)


def watch_json(client: BatonClient, job_id: str) -> JobView:
    """Prints the job as JSON, a line a change, until it has ended."""
    return _follow(client, job_id, lambda job: print(job.model_dump_json(), flush=True), say)


def _follow(
    client: BatonClient, job_id: str, show: Callable[[JobView], object], note: Callable[[str], object]
) -> JobView:
    away = False

    def outage(error: Unreachable) -> None:
        nonlocal away
        if not away:
            note(f"{error}; trying on")
        away = True

    for job in client.follow(job_id, on_outage=outage):
        away = False
        show(job)
    return job
