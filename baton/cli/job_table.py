"""The table of `baton list`."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from baton.cli.render import distinct_length, metric_text, status_text, table
from baton.cli.times import ago, duration
from baton.domain.projects import DEFAULT
from baton.domain.views import JobSummary, ProgressView


def jobs_table(jobs: Sequence[JobSummary]) -> Table:
    """The table of `baton list`. Owners and projects are left out if all jobs are of the default project."""
    shared = any(job.project != DEFAULT for job in jobs)
    whose = ("project", "owner") if shared else ()
    made = table("id", "name", *whose, "status", "epoch", "done", "best", "age", right=("epoch", "done", "best", "age"))
    length = distinct_length([job.id for job in jobs])
    made.columns[0].min_width = length
    for job in jobs:
        progress, best = job.progress, job.best
        made.add_row(
            job.id[:length],
            job.name,
            *((job.project, job.owner or "-") if shared else ()),
            _status(job),
            _epoch(progress) if progress else "-",
            f"{progress.fraction:.0%}" if progress and progress.total_steps else "-",
            metric_text(best.value) if best else "-",
            ago(job.created_at, job.as_of),
        )
    return made


def _epoch(progress: ProgressView) -> str:
    """The epoch, and their number if it is known."""
    return f"{progress.epoch}/{progress.epochs}" if progress.epochs else str(progress.epoch or "-")


def _status(job: JobSummary) -> Text:
    line = status_text(job.status)
    if job.silent_seconds is not None:
        line.append(f", silent {duration(job.silent_seconds)}", style="bold yellow")
    return line
