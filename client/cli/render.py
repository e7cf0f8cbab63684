"""What people see: tables that fit 80 columns."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel
from rich import box
from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from core.domain.goodput import PRODUCTIVE
from core.domain.views import ArtifactView, AttemptView, CheckpointStatus, EventView, JobView, StageView, WorkerView
from core.domain.wire import EpochRow

BAR = 60  # characters, beside a label within 80 columns
COLORS = {
    "queued": "cyan",
    "running": "green",
    "recovering": "yellow",
    "pausing": "yellow",
    "paused": "yellow",
    "cancelling": "yellow",
    "succeeded": "bold green",
    "failed": "bold red",
    "cancelled": "red",
}


def as_json(models: BaseModel | Sequence[BaseModel]) -> str:
    """Models as the service sent them."""
    if isinstance(models, BaseModel):
        return models.model_dump_json(indent=2)
    return json.dumps([model.model_dump(mode="json") for model in models], indent=2)


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=COLORS.get(status, ""))


def ago(at: datetime | None, now: datetime | None = None) -> str:
    """How long since, in one unit."""
    if at is None:
        return "-"
    return duration(((now or datetime.now(UTC)) - at).total_seconds())


def duration(seconds: float | None) -> str:
    """A duration in its largest unit or two, e.g. 42 s, 3 min 05 s, 2 h 10 min, 3 d."""
    if seconds is None:
        return "-"
    whole = max(round(seconds), 0)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86_400} d"


def table(*columns: str, right: Iterable[str] = (), wrap: str = "") -> Table:
    """An empty table; the columns in `right` are numbers, the text of the column `wrap` takes several lines."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=column != wrap)
    return made


def jobs_table(jobs: Sequence[JobView]) -> Table:
    """`baton list`."""
    made = table("id", "name", "status", "epoch", "done", "best", "age", right=("epoch", "done", "best", "age"))
    length = distinct_length([job.id for job in jobs])
    made.columns[0].min_width = length
    for job in jobs:
        made.add_row(
            job.id[:length],
            job.name,
            status_text(job.status),
            _epochs(job),
            _share(job),
            _best(job),
            ago(job.created_at),
        )
    return made


def distinct_length(ids: Sequence[str], least: int = 8) -> int:
    """How much of an id tells these apart; commands take the start of an id for the whole."""
    longest = max(map(len, ids), default=least)
    return next((n for n in range(least, longest) if len({i[:n] for i in ids}) == len(set(ids))), longest)


def _epochs(job: JobView) -> str:
    return f"{job.progress.epoch}/{job.progress.epochs}" if job.progress else "-"


def _share(job: JobView) -> str:
    return f"{job.progress.fraction:.0%}" if job.progress else "-"


def _best(job: JobView) -> str:
    return f"{job.best.value:.4f}" if job.best else "-"


def stages_table(stages: Sequence[StageView]) -> Table:
    """A job's stages."""
    made = table("stage", "name", "state", "pixels", "batch", "epochs", right=("stage", "pixels", "batch", "epochs"))
    for s in stages:
        made.add_row(str(s.stage), s.name, s.state, str(s.image_size), str(s.batch_size), f"{s.epochs_done}/{s.epochs}")
    return made


def attempts_table(attempts: Sequence[AttemptView]) -> Table:
    """A job's attempts."""
    made = table("attempt", "state", "reason", "steps", "worker", right=("attempt",))
    for a in attempts:
        steps = f"{_number(a.start_step)} .. {_number(a.end_step)}"
        made.add_row(str(a.attempt), a.state, a.reason or "", steps, a.worker or "")
    return made


def workers_table(workers: Sequence[WorkerView]) -> Table:
    """Who trains, or could."""
    made = table("worker", "state", "device", "queues", "job", "seen", right=("seen",), wrap="device")
    for w in workers:
        made.add_row(w.name, w.state, w.device, ",".join(w.queues), (w.job_id or "")[:8], ago(w.last_seen_at))
    return made


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def history_table(rows: Sequence[EpochRow]) -> Table:
    """One row an epoch."""
    names = ("epoch", "stage", "px", "step", "rate", "loss", "acc", "v.loss", "v.acc", "s", "att")
    made = table(*names, right=names)
    for r in rows:
        scores = (f"{r.loss:.4f}", f"{r.accuracy:.4f}", f"{r.val_loss:.4f}", f"{r.val_accuracy:.4f}")
        where = (str(r.epoch), str(r.stage), str(r.image_size), str(r.global_step), f"{r.learning_rate:.2e}")
        made.add_row(*where, *scores, f"{r.seconds:.{0 if r.seconds >= 100 else 1}f}", str(r.attempt))
    return made


def history_csv(rows: Sequence[EpochRow]) -> str:
    """All columns of the history."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(EpochRow.model_fields)
    writer.writerows(row.model_dump(mode="json").values() for row in rows)
    return text.getvalue()


def events_lines(events: Sequence[EventView]) -> Text:
    """One line an event, at the reader's clock."""
    lines = [f"{e.at.astimezone():%H:%M:%S}  {e.kind:<22} {e.message}" for e in events]
    return Text("\n".join(lines))


def artifacts_table(artifacts: Sequence[ArtifactView]) -> Table:
    """A job's files."""
    made = table("name", "bytes", "crc32c", "age", right=("bytes", "age"))
    for a in artifacts:
        made.add_row(a.name, f"{a.size:,}", a.crc32c, ago(a.committed_at))
    return made


def facts_grid(facts: Iterable[tuple[str, RenderableType]]) -> Table:
    """Each label with its value."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in facts:
        grid.add_row(label, value)
    return grid


def job_panel(job: JobView) -> RenderableType:
    """A job at a glance."""
    grid = facts_grid(_facts(job))
    if p := job.progress:
        grid.add_row("epoch", ProgressBar(total=max(p.steps, 1), completed=p.step, width=BAR))
        grid.add_row("total", ProgressBar(total=1.0, completed=p.fraction, width=BAR))
    return grid


def _facts(job: JobView) -> Iterable[tuple[str, RenderableType]]:
    yield "job", Text(f"{job.name}  {job.id}")
    yield "status", _status_line(job)
    if job.waiting_for:
        yield "waits for", Text(job.waiting_for)
    if p := job.progress:
        yield "stage", f"{p.stage} of {p.stages}, epoch {p.epoch} of {p.epochs}, step {p.step} of {p.steps}"
        yield "done", f"{p.fraction:.1%} ({p.global_step:,} of {p.total_steps:,} steps), {_pace(job)}"
    if job.metrics:
        yield "last epoch", numbers(job.metrics)
    if job.best:
        yield "best", f"{job.best.metric} {job.best.value:.4f} in epoch {job.best.epoch}"
    if job.results:
        yield "results", numbers(job.results)
    yield "attempts", f"{job.attempts}, {job.preemptions} preempted or lost, {job.failures} failed"
    if job.checkpoint:
        yield "checkpoint", _checkpoint(job.checkpoint)
    if job.goodput.get("total"):
        yield "goodput", _goodput(job.goodput)


def _checkpoint(status: CheckpointStatus) -> Text:
    line = Text(f"step {status.global_step:,}, {ago(status.committed_at)} ago")
    if status.overdue:
        line.append(", OVERDUE: can the worker reach the store?", style="bold yellow")
    elif status.interval_seconds:
        line.append(f", one every {duration(status.interval_seconds)}")
    return line


def _goodput(seconds: dict[str, float]) -> str:
    """The productive share, and the three greatest of the other buckets."""
    rest = {name: spent for name, spent in seconds.items() if name not in {*PRODUCTIVE, "total", "goodput"}}
    greatest = sorted((name for name in rest if rest[name] >= 0.5), key=lambda name: -rest[name])[:3]
    losses = ", ".join(f"{name.replace('_', ' ')} {duration(rest[name])}" for name in greatest)
    return f"{seconds.get('goodput', 0.0):.0%} of {duration(seconds['total'])}" + (f"; {losses}" if losses else "")


def _status_line(job: JobView) -> Text:
    line = status_text(job.status)
    for part in (job.phase, job.reason, job.message):
        if part and part != job.status:
            line.append(f", {part}", style="default")
    return line


def _pace(job: JobView) -> str:
    progress = job.progress
    if job.status in {"succeeded", "failed", "cancelled"} or progress is None or progress.images_per_second is None:
        return f"started {ago(job.started_at)} ago" if job.started_at else "not started"
    return f"{progress.images_per_second:,.0f} images/s, about {duration(progress.eta_seconds)} left"


def numbers(values: dict[str, float]) -> str:
    """Named numbers on one line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
