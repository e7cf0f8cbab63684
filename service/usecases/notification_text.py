"""Title and body of a notification, as plain text. Apprise escapes the text for each target."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime

from baton.domain.lenient_reading import find_stored
from baton.domain.notifications import NotificationKind
from baton.domain.progress_text import position_text
from baton.domain.reasons import AT_A_LIMIT
from baton.domain.states import JobState
from baton.domain.wire import BestMetric, Progress
from service.db.tables import Job

SAID = {
    NotificationKind.RECOVERING: "is recovering",
    NotificationKind.CANCELLED: "was cancelled",
    NotificationKind.OVERDUE: "gets no checkpoint saved",
    NotificationKind.SILENT: "has a worker without heartbeats",
}
HEAD, TAIL = 600, 1200
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_CALLS = re.compile(r"(?<=@)(?=[A-Za-z])|(?<=<)(?=[!@#])")


def title(job: Job, kind: NotificationKind) -> str:
    """One line. The text needs no escaping, because baton.domain.spec restricts the characters of a job's name."""
    return f"Baton: {job.name} {_said(job, kind)}"


def body(
    job: Job, kind: NotificationKind, count: int, now: datetime, public_url: str | None, detail: str | None = None
) -> str:
    """A few lines: what happened, why, the job's state, and a link. `count`: number of the interruption or attempt."""
    times = f" from interruption {count}" if kind is NotificationKind.RECOVERING else ""
    lines = [f"Job {job.name} ({job.id[:8]}) {_said(job, kind)}{times}."]
    if detail is not None:
        lines.append(f"In attempt {count}: {harmless(detail)}")
    lines.extend(_facts(job, now))
    if public_url is not None:
        lines.append(f"{public_url.rstrip('/')}/jobs/{job.id}")
    return "\n".join(lines)


def _said(job: Job, kind: NotificationKind) -> str:
    if kind is NotificationKind.FAILED and job.state == JobState.PAUSED:
        return "has reached a limit and is paused" if job.reason in AT_A_LIMIT else "could not continue and is paused"
    return SAID.get(kind, kind.value)


def _facts(job: Job, now: datetime) -> Iterator[str]:
    if job.reason:
        yield f"Reason: {job.reason}"
    if job.message:
        yield f"Message: {harmless(job.message)}"
    if at := find_stored(Progress, job.progress):
        text = position_text(at)
        yield text[:1].upper() + text[1:]
    if best := find_stored(BestMetric, job.best):
        yield f"Best: {best.metric} {best.value:.4g} in epoch {best.epoch}"
    yield f"Duration: {_duration(((job.finished_at or now) - (job.started_at or job.created_at)).total_seconds())}"
    yield f"Attempts: {job.attempts}, preemptions: {job.preemptions}, failures: {job.failures}"


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {whole % 60:02d} s"


def harmless(text: str) -> str:
    """Text from a job, made safe for chats: shortened in the middle, without control characters and mentions.

    An exception may contain `@everyone` or `<!channel>`. A zero-width space keeps chats from notifying all members.
    """
    shown = _CALLS.sub("\u200b", _CONTROL.sub(" ", text))
    return shown if len(shown) <= HEAD + TAIL else f"{shown[:HEAD]} … {shown[-TAIL:]}"
