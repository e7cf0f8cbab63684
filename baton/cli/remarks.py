"""What `baton status` shows about a job besides its training: project, origin, labels, notes and protection."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text

from baton.domain.lineage import JobSource
from baton.domain.projects import DEFAULT
from baton.domain.views import JobView

LINES, CHARACTERS = 5, 400
"""How much of the notes is shown. `--json` has all."""


def remarks(job: JobView) -> Iterable[tuple[str, Text]]:
    """The rows with their labels. Nothing for a job without any of these."""
    if job.project != DEFAULT:
        yield "project", Text(job.project + (f", submitted by {job.owner}" if job.owner else ""))
    if job.source:
        yield "made from", Text(_origin(job.source))
    if job.labels:
        yield "labels", Text(", ".join(f"{key}={value}" for key, value in job.labels.items()))
    if job.notes:
        shown = "\n".join(job.notes.splitlines()[:LINES])[:CHARACTERS]
        yield "notes", Text(shown + ("…" if len(shown) < len(job.notes.rstrip()) else ""))
    if job.protected:
        yield "protected", Text("retention keeps this job")


def _origin(source: JobSource) -> str:
    point = source.checkpoint
    what = f"step {point.global_step:,} of " if point else "the spec of "
    return f"{what}{source.name}  {source.job}" + (" (deleted)" if source.deleted else "")
