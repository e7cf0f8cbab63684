"""Converts rows into the answers of the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import bindparam, select

from baton.domain.lenient_reading import find_stored, mapping, number_or, read_stored
from baton.domain.prices import Prices
from baton.domain.states import (
    HELD_ATTEMPTS,
    AttemptState,
    DesiredState,
    JobState,
    shown_status,
)
from baton.domain.views import (
    ArtifactView,
    AttemptView,
    CheckpointStatus,
    CheckpointView,
    JobSummary,
    JobView,
    ProgressView,
    StageView,
)
from baton.domain.wire import TRAINS, CheckpointRole
from service.db.tables import Artifact, Attempt, Checkpoint, Job, Pointer, Stage
from service.db.unit_of_work import Unit
from service.usecases import attempt_totals, goodput, lineage, usage, wait_reasons
from service.usecases.attempt_limits import Limits
from service.usecases.heartbeat_age import HeartbeatTimes, heard

_Shape = TypeVar("_Shape", JobView, JobSummary)
_LATEST = (
    select(Checkpoint, Attempt.interval_seconds)
    .join(Pointer, Pointer.checkpoint_id == Checkpoint.id)
    .join(Attempt, Attempt.id == Checkpoint.attempt_id)
    .where(Pointer.job_id.in_(bindparam("job_ids", expanding=True)), Pointer.role == CheckpointRole.LATEST.value)
)

BLANK: dict[str, Any] = {
    **dict.fromkeys(("reason", "message", "progress", "best", "checkpoint", "worker", "phase")),
    **{name: {} for name in ("labels", "spec", "metrics", "results", "goodput")},
}
"""Shown for fields that cannot be read. One bad row must not hide the others of its page."""


def job_view(unit: Unit, job: Job, limits: Limits, beats: HeartbeatTimes) -> JobView:
    """One job."""
    return job_views(unit, [job], limits, beats)[0]


def job_views(unit: Unit, jobs: Sequence[Job], limits: Limits, beats: HeartbeatTimes) -> list[JobView]:
    """Many jobs. The number of queries does not depend on the number of jobs."""
    return _views(unit, jobs, limits, beats, JobView)


def job_summaries(unit: Unit, jobs: Sequence[Job], limits: Limits, beats: HeartbeatTimes) -> list[JobSummary]:
    """As `job_views`, without the specs, which need not be loaded."""
    return _views(unit, jobs, limits, beats, JobSummary)


def _views(unit: Unit, jobs: Sequence[Job], limits: Limits, beats: HeartbeatTimes, shape: type[_Shape]) -> list[_Shape]:
    ids, now = [job.id for job in jobs], unit.now()
    newest = attempt_totals.newest_attempts(unit, ids)
    spent = attempt_totals.of_jobs(unit, jobs, newest)
    saved = [job.id for job in jobs if job.furthest is not None]
    rows = unit.session.execute(_LATEST, {"job_ids": saved}) if saved else ()
    latest = {row.job_id: _Latest(row, interval) for row, interval in rows}
    ends = {job_id: [newest[job_id]] if job_id in newest else [] for job_id in ids}
    waits = wait_reasons.waits(unit, jobs, ends, limits, now)
    prices = usage.prices_of(unit.session)
    parts = [_Parts(newest.get(job.id), spent[job.id], latest.get(job.id), prices) for job in jobs]
    found = [_job_view(job, of_job, now, shape) for job, of_job in zip(jobs, parts, strict=True)]
    found = [_heard(view, _holder(newest.get(view.id)), beats, now) for view in found]
    sources = lineage.sources(unit, jobs)
    more = [{"waiting_for": waits.get(view.id), "source": sources.get(view.id)} for view in found]
    return [view.model_copy(update=fields) for view, fields in zip(found, more, strict=True)]


@dataclass(frozen=True)
class _Latest:
    """The latest checkpoint, and the interval in seconds between checkpoints that its attempt reported last."""

    row: Checkpoint
    interval: float | None


@dataclass(frozen=True)
class _Parts:
    """What a job's view needs in addition to its row. The number of rows does not grow with the job's age."""

    newest: Attempt | None
    spent: attempt_totals.Totals
    latest: _Latest | None
    prices: Prices


def _checkpoint_status(job: Job, parts: _Parts, now: datetime) -> CheckpointStatus | None:
    if parts.latest is None:
        return None
    latest, reported = parts.latest.row, parts.newest.interval_seconds if parts.newest else None
    return CheckpointStatus(
        global_step=latest.global_step,
        committed_at=latest.committed_at,
        interval_seconds=parts.latest.interval if reported is None else reported,
        save_seconds=latest.seconds,
        stall_seconds=latest.stall_seconds,
        age_seconds=max(0.0, ((job.finished_at or now) - latest.committed_at).total_seconds()),
        overdue=job.overdue_since is not None,
    )


def _job_view(job: Job, parts: _Parts, now: datetime, shape: type[_Shape]) -> _Shape:
    held = _holder(parts.newest)
    return read_stored(
        shape,
        {
            "id": job.id,
            "name": job.name,
            "status": shown_status(JobState(job.state), DesiredState(job.desired)),
            "reason": job.reason,
            "message": (held.message if held else None) or job.message,
            "version": job.version,
            "queue": job.queue,
            "priority": job.priority,
            "created_at": job.created_at,
            "started_at": job.started_at,
            "finished_at": job.finished_at,
            "labels": job.labels,
            **({"spec": job.spec} if shape is JobView else {}),
            "progress": _progress(job),
            "metrics": job.metrics,
            "results": job.results,
            "best": job.best,
            "attempts": job.attempts,
            "preemptions": job.preemptions,
            "failures": job.failures,
            "retries": job.retries,
            "checkpoint": _checkpoint_status(job, parts, now),
            "worker": held.worker if held else None,
            "phase": job.phase if held and held.worker else None,
            "goodput": goodput.of_job(job, parts.spent.seconds, parts.newest, now),
            "events": job.events,
            "notes": job.notes,
            "protected": job.protected,
            **usage.of_job(job, held, now, parts.prices),
            "owner": job.owner,
            "project": job.project,
        },
        BLANK,
    )


def _holder(newest: Attempt | None) -> Attempt | None:
    return newest if newest is not None and newest.state in HELD_ATTEMPTS else None


def _heard(view: _Shape, held: Attempt | None, beats: HeartbeatTimes, now: datetime) -> _Shape:
    """Add heartbeat data. Speed and remaining time are shown only while the worker trains and is not silent."""
    known: dict[str, object] = {"as_of": now}
    last = heard(held, beats, now) if held else None
    if last is not None:
        known |= {"beat_at": last.at, "silent_seconds": last.silent_seconds, "lease_expires_at": last.expires}
    trains = held is not None and held.state == AttemptState.RUNNING and held.phase in TRAINS
    if view.progress is not None and not (trains and last is not None and not last.silent):
        known["progress"] = view.progress.model_copy(update={"images_per_second": None, "eta_seconds": None})
    return view.model_copy(update=known)


def _progress(job: Job) -> ProgressView | None:
    if job.progress is None:
        return None
    reported = mapping(job.progress)
    done, total = number_or(reported.get("global_step")), number_or(reported.get("total_steps"))
    return find_stored(ProgressView, {**reported, "fraction": min(done / total, 1.0) if total else 0.0})


def stage_view(row: Stage, done: int) -> StageView:
    """One stage. `done`: its recorded epochs."""
    return StageView(
        stage=row.stage,
        name=row.name,
        state=row.state,
        epochs=row.epochs,
        epochs_done=done,
        image_size=row.image_size,
        batch_size=row.batch_size,
        started_at=row.started_at,
        finished_at=row.finished_at,
    )


def attempt_view(row: Attempt, beats: HeartbeatTimes, now: datetime) -> AttemptView:
    """One attempt. The seconds of a live one count up to `now`."""
    last = heard(row, beats, now)
    return AttemptView(
        id=row.id,
        attempt=row.number,
        state=row.state,
        fence=row.fence or 0,
        worker=row.worker,
        reason=row.reason,
        message=row.message,
        created_at=row.created_at,
        claimed_at=row.claimed_at,
        finished_at=row.finished_at,
        lease_expires_at=row.lease_expires_at,
        start_step=row.start_step,
        end_step=row.end_step,
        started_at=row.started_at,
        seconds=goodput.of_attempt(row, now),
        **usage.of_attempt(row, now),
        beat_at=last.at if last else None,
        silent_seconds=last.silent_seconds if last else None,
        job_id=row.job_id,
    )


def checkpoint_view(row: Checkpoint, pointers: dict[str, str]) -> CheckpointView:
    """One checkpoint."""
    return CheckpointView(
        id=row.id,
        prefix=row.prefix,
        global_step=row.global_step,
        stage=row.stage,
        epoch=row.epoch,
        step=row.step,
        fence=row.fence,
        roles=sorted(role for role, checkpoint in pointers.items() if checkpoint == row.id),
        state=row.state,
        bytes=row.bytes,
        seconds=row.seconds,
        committed_at=row.committed_at,
        stall_seconds=row.stall_seconds,
    )


def artifact_view(row: Artifact) -> ArtifactView:
    """One artifact and its download URL."""
    return ArtifactView(
        name=row.name,
        size=row.size,
        crc32c=row.crc32c,
        content_type=row.content_type,
        committed_at=row.committed_at,
        url=f"/v1/jobs/{row.job_id}/artifacts/{row.name}",
    )
