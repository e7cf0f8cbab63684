"""Tables and texts for terminals with 80 columns."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from pydantic import BaseModel
from rich import box
from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from baton.cli.cost_facts import cost_facts
from baton.cli.program_facts import program_facts
from baton.cli.remarks import remarks
from baton.cli.silent_worker import silence
from baton.cli.times import ago, duration, stamp
from baton.domain.goodput import NOT_COUNTED, PRODUCTIVE
from baton.domain.protocol_versions import PROTOCOL, SPEC_VERSION
from baton.domain.views import (
    ArtifactView,
    AttemptView,
    CheckpointStatus,
    EventView,
    JobView,
    ProgressView,
    StageView,
    WorkerView,
)

BAR = 60  # characters: with a label it fits in 80 columns
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
    """Models as JSON, as the service sent them."""
    if isinstance(models, BaseModel):
        return models.model_dump_json(indent=2)
    # By way of JSON text: a dump to Python values keeps NaN, which JSON does not have.
    return json.dumps([json.loads(model.model_dump_json()) for model in models], indent=2)


def status_text(status: str) -> Text:
    """A status in its colour."""
    return Text(status, style=COLORS.get(status, ""))


def table(*columns: str, right: Iterable[str] = (), wrap: str = "") -> Table:
    """An empty table. The columns in `right` are aligned to the right. The text of the column `wrap` may wrap."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", no_wrap=column != wrap)
    return made


def distinct_length(ids: Sequence[str], least: int = 8) -> int:
    """How many of the first characters distinguish these ids. Commands accept the start of an id.

    >>> distinct_length(["0123456789", "0123456799"])
    9
    """
    longest = max(map(len, ids), default=least)
    return next((n for n in range(least, longest) if len({i[:n] for i in ids}) == len(set(ids))), longest)


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
        state = a.state if a.silent_seconds is None else f"{a.state}, silent {duration(a.silent_seconds)}"
        made.add_row(str(a.attempt), state, a.reason or "", steps, a.worker or "")
    return made


def workers_table(workers: Sequence[WorkerView]) -> Table:
    """The table of `baton workers`. Workers that have ended are dimmed."""
    names = ("worker", "state", "device", "queues", "job", "since", "seen")
    made = table(*names, right=("since", "seen"), wrap="device")
    for w in workers:
        held = (w.job_id or "")[:8]
        style = "dim" if w.state == "ended" else ""
        made.add_row(
            w.name, w.state, w.device, ",".join(w.queues), held, ago(w.since), ago(w.last_seen_at), style=style
        )
    return made


def refusals(workers: Sequence[WorkerView]) -> Iterable[str]:
    """Why workers get no work, one line for each."""
    return (f"{w.name} gets no work: {w.refusal}" for w in workers if w.refusal)


def resting(workers: Sequence[WorkerView], now: datetime | None = None) -> Iterable[str]:
    """Workers that take no work after crashes, one line for each. `now`: by default this machine's time."""
    moment = now or datetime.now(UTC)
    return (
        f"{w.name} backs off for {duration((w.rests_until - moment).total_seconds())} after {w.rests_why}: check the "
        "device, the memory and the disk of its machine"
        for w in workers
        if w.rests_until is not None
    )


def outdated(workers: Sequence[WorkerView]) -> Iterable[str]:
    """Workers of an older release than this command, one line for each."""
    return (
        f"{w.name} has an older release: it gets no job that needs a newer one; upgrade it"
        for w in workers
        if w.ended_at is None and (w.protocol < PROTOCOL or w.spec_version < SPEC_VERSION)
    )


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def events_lines(events: Sequence[EventView]) -> Text:
    """One line for each event: local date and time with the zone, kind, message."""
    lines = [f"{stamp(e.at)}  {e.kind:<22} {e.message}" for e in events]
    return Text("\n".join(lines))


def artifacts_table(artifacts: Sequence[ArtifactView]) -> Table:
    """A job's files."""
    made = table("name", "bytes", "crc32c", "age", right=("bytes", "age"))
    for a in artifacts:
        made.add_row(a.name, f"{a.size:,}", a.crc32c, ago(a.committed_at))
    return made


def facts_grid(facts: Iterable[tuple[str, RenderableType]]) -> Table:
    """A grid of labels with their values."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in facts:
        grid.add_row(label, value)
    return grid


def job_panel(job: JobView) -> RenderableType:
    """The state of a job, with progress bars."""
    grid = facts_grid(_facts(job))
    if (p := job.progress) and p.steps:
        grid.add_row("epoch", ProgressBar(total=p.steps, completed=p.step, width=BAR))
    if p and p.total_steps:
        grid.add_row("total", ProgressBar(total=1.0, completed=p.fraction, width=BAR))
    return grid


def _facts(job: JobView) -> Iterable[tuple[str, RenderableType]]:
    yield "job", Text(f"{job.name}  {job.id}")
    yield from remarks(job)
    if "program" in job.spec:
        yield from program_facts(job.spec)
    yield from _status(job)
    if job.progress:
        yield from _progress(job, job.progress)
    if job.metrics:
        yield "last epoch", numbers(job.metrics)
    if job.best:
        yield "best", f"{job.best.metric} {metric_text(job.best.value)} in epoch {job.best.epoch}"
    if job.results:
        yield "results", numbers(job.results)
    again = f", {job.retries} {'retry' if job.retries == 1 else 'retries'}" if job.retries else ""
    yield "attempts", f"{job.attempts}, {job.preemptions} preempted or lost, {job.failures} failed{again}"
    if job.checkpoint:
        yield "checkpoint", _checkpoint(job.checkpoint, job.as_of)
    if job.goodput.get("total"):
        yield "goodput", _goodput(job.goodput)
    yield from cost_facts(job)


def _progress(job: JobView, p: ProgressView) -> Iterable[tuple[str, RenderableType]]:
    if p.stages:
        yield "stage", f"{p.stage} of {p.stages}, epoch {p.epoch} of {p.epochs}, step {p.step} of {p.steps}"
    elif p.epoch:
        yield "epoch", f"{p.epoch} of {p.epochs}" if p.epochs else f"{p.epoch}"
    if p.total_steps:
        yield "done", f"{p.fraction:.1%} ({p.global_step:,} of {p.total_steps:,} steps), {_pace(job)}"
    else:
        yield "done", f"{p.global_step:,} steps, {_pace(job)}"
    if p.files_left_out:
        yield "data", Text(f"{p.files_left_out:,} files left out: see the events", style="yellow")


def _status(job: JobView) -> Iterable[tuple[str, RenderableType]]:
    yield "status", _status_line(job)
    if quiet := silence(job):
        yield "heartbeat", Text(quiet, style="bold yellow")
    if job.waiting_for:
        yield "waits for", Text(job.waiting_for)
    if job.status in {"failed", "cancelled"}:
        yield "to go on", Text(f"baton retry {job.id[:12]}  (continues at its last checkpoint)")


def _checkpoint(status: CheckpointStatus, now: datetime | None) -> Text:
    line = Text(f"step {status.global_step:,}, {ago(status.committed_at, now)} ago")
    if status.overdue:
        line.append(", OVERDUE: can the worker reach the store?", style="bold yellow")
    elif status.interval_seconds:
        line.append(f", one every {duration(status.interval_seconds)}")
    return line


def _goodput(seconds: dict[str, float]) -> str:
    """The productive share and the three largest losses; then waiting and pauses, which are not losses."""
    known = {*PRODUCTIVE, *NOT_COUNTED, "total", "goodput"}
    losses = {name: spent for name, spent in seconds.items() if name not in known and spent >= 0.5}
    greatest = sorted(losses, key=lambda name: -losses[name])[:3]
    apart = [name for name in NOT_COUNTED if seconds.get(name, 0.0) >= 0.5]
    counted = seconds["total"] - sum(seconds.get(name, 0.0) for name in NOT_COUNTED)
    text = f"{seconds.get('goodput', 0.0):.0%} of {duration(counted)}"
    for before, names in (("; ", greatest), (" (not counted: ", apart)):
        text += (
            before + ", ".join(f"{name.replace('_', ' ')} {duration(seconds[name])}" for name in names) if names else ""
        )
    return text + (")" if apart else "")


def _status_line(job: JobView) -> Text:
    line = status_text(job.status)
    for part in (job.phase, job.reason, job.message):
        if part and part != job.status:
            line.append(f", {part}", style="default")
    return line


def _pace(job: JobView) -> str:
    progress = job.progress
    if job.status in {"running", "pausing"} and progress is not None:
        left = f"about {duration(progress.eta_seconds)} left"
        if progress.images_per_second is not None:
            return f"{progress.images_per_second:,.0f} images/s, {left}"
        if progress.eta_seconds is not None:
            return left
    return f"started {ago(job.started_at, job.as_of)} ago" if job.started_at else "not started"


def metric_text(value: float) -> str:
    """A metric with four decimal places, or with four digits if that does not show it well."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.4g}"


def numbers(values: dict[str, float]) -> str:
    """Named numbers on one line."""
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
