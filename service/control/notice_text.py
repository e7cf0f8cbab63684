"""What a notification says. Plain text: whatever a service wants escaped, Apprise escapes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from core.domain.notices import Notice
from service.db.tables import Job

HEAD, TAIL = 600, 1200
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_CALLS = re.compile(r"(?<=@)(?=[A-Za-z])|(?<=<)(?=[!@#])")


def title(job: Job, kind: Notice) -> str:
    """One line; a job's name is of few letters (core.domain.spec)."""
    return f"Baton: {job.name} {_said(kind)}"


def body(job: Job, kind: Notice, count: int, now: datetime, public_url: str | None) -> str:
    """Some lines: what happened, why, where it stands, and where to look."""
    lines = [f"Job {job.name} ({job.id[:8]}) {_said(kind)}{_times(count)}.", *_facts(job, now)]
    if public_url is not None:
        lines.append(f"{public_url.rstrip('/')}/jobs/{job.id}")
    return "\n".join(lines)


def _said(kind: Notice) -> str:
    return {Notice.RECOVERING: "is recovering", Notice.CANCELLED: "was cancelled"}.get(kind, kind.value)


def _times(count: int) -> str:
    return f" from interruption {count}" if count else ""


def _facts(job: Job, now: datetime) -> Iterator[str]:
    if job.reason:
        yield f"Reason: {job.reason}"
    if job.message:
        yield f"Message: {harmless(job.message)}"
    if job.progress:
        yield _place(job.progress)
    if job.best:
        yield f"Best: {job.best['metric']} {_number(job.best['value'])} in epoch {job.best['epoch']}"
    yield f"Duration: {_duration(((job.finished_at or now) - (job.started_at or job.created_at)).total_seconds())}"
    yield f"Attempts: {job.attempts}, preemptions: {job.preemptions}, failures: {job.failures}"


def _place(at: dict[str, Any]) -> str:
    return (
        f"Stage {at['stage']} of {at['stages']}, epoch {at['epoch']} of {at['epochs']}, "
        f"step {at['global_step']} of {at['total_steps']}"
    )


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {whole % 60:02d} s"


def harmless(text: str) -> str:
    """Text of a job's own: cut in the middle, without control characters, and calling nobody.

    An exception may say `@everyone` or `<!channel>`; a space without width keeps chats from ringing for all.
    """
    shown = _CALLS.sub("\u200b", _CONTROL.sub(" ", text))
    return shown if len(shown) <= HEAD + TAIL else f"{shown[:HEAD]} … {shown[-TAIL:]}"
