"""Converts rows into the answers of the API."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select

from baton.domain.lenient_reading import find_stored, mapping, number_or, read_stored
from baton.domain.states import (
    HELD_ATTEMPTS,
    AttemptState,
    CheckpointState,
    DesiredState,
    JobState,
    shown_status,
)
from baton.domain.views import (
    ArtifactView,
    AttemptView,
    CheckpointStatus,
    CheckpointView,
    History,
    JobPage,
    JobView,
    Listing,
    ProgressView,
    StageView,
)
from baton.domain.wire import TRAINS, CheckpointRole
from service.db.base import IS_PAST, IS_USELESS
from service.db.tables import Artifact, Attempt, Checkpoint, Epoch, Job, Pointer, Stage
from service.db.unit_of_work import Unit
from service.usecases import attempt_totals, epoch_rows, goodput, job_filters, lineage, wait_reasons
from service.usecases.attempt_limits import Limits
from service.usecases.heartbeat_age import HeartbeatTimes, heard
from service.usecases.history import epochs_done
from service.usecases.job_filters import JobFilter

PAST = 100
"""How many of the newest deleted or quarantined checkpoints are listed."""

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
    ids, now = [job.id for job in jobs], unit.now()
    newest = attempt_totals.newest_attempts(unit, ids)
    spent = attempt_totals.of_jobs(unit, jobs, newest)
    saved = [job.id for job in jobs if job.furthest is not None]
    rows = unit.session.execute(_LATEST, {"job_ids": saved}) if saved else ()
    latest = {row.job_id: _Latest(row, interval) for row, interval in rows}
    ends = {job_id: [newest[job_id]] if job_id in newest else [] for job_id in ids}
    waits = wait_reasons.waits(unit, jobs, ends, limits, now)
    found = [_job_view(job, _Parts(newest.get(job.id), spent[job.id], latest.get(job.id)), now) for job in jobs]
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


def _job_view(job: Job, parts: _Parts, now: datetime) -> JobView:
    held = _holder(parts.newest)
    return read_stored(
        JobView,
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
            "spec": job.spec,
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
            "owner": job.owner,
            "project": job.project,
        },
        BLANK,
    )


def _holder(newest: Attempt | None) -> Attempt | None:
    return newest if newest is not None and newest.state in HELD_ATTEMPTS else None


def _heard(view: JobView, held: Attempt | None, beats: HeartbeatTimes, now: datetime) -> JobView:
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


def list_jobs(unit: Unit, wanted: JobFilter, limits: Limits, beats: HeartbeatTimes) -> JobPage:
    """A page of jobs, newest first."""
    jobs = list(unit.session.scalars(job_filters.page(unit, wanted)))
    page = jobs[: wanted.limit]
    more = len(jobs) > wanted.limit
    return JobPage(items=job_views(unit, page, limits, beats), next_cursor=str(page[-1].number) if more else None)


def stage_views(unit: Unit, job_id: str) -> Listing[StageView]:
    """The stages of a job."""
    job = unit.find_job(job_id)
    done = epochs_done(unit, job.id)
    rows = unit.session.scalars(select(Stage).where(Stage.job_id == job.id).order_by(Stage.stage))
    return Listing(items=[_stage_view(row, done.get(row.stage, 0)) for row in rows])


def _stage_view(row: Stage, done: int) -> StageView:
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


def attempt_views(unit: Unit, job_id: str, beats: HeartbeatTimes) -> Listing[AttemptView]:
    """The attempts of a job."""
    job = unit.find_job(job_id)
    rows = unit.session.scalars(select(Attempt).where(Attempt.job_id == job.id).order_by(Attempt.number))
    now = unit.now()
    return Listing(items=[attempt_view(row, beats, now) for row in rows])


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
        beat_at=last.at if last else None,
        silent_seconds=last.silent_seconds if last else None,
    )


def checkpoint_views(unit: Unit, job_id: str) -> Listing[CheckpointView]:
    """The existing checkpoints of a job and the newest PAST of the others, newest first.

    `roles`: the pointers that currently name a checkpoint.
    """
    job = unit.find_job(job_id)
    pointers = unit.pointers(job.id)
    newest_first, of_job = select(Checkpoint).order_by(Checkpoint.number.desc()), Checkpoint.job_id == job.id
    bad = newest_first.where(of_job, IS_USELESS, Checkpoint.state == CheckpointState.QUARANTINED).limit(PAST)
    past = newest_first.where(of_job, IS_PAST).limit(PAST)
    # Index by number: a quarantined checkpoint with existing objects may also be among the newest PAST ones.
    rows = {row.number: row for query in (bad, past) for row in unit.session.scalars(query)}
    rows |= {row.number: row for row in unit.committed_checkpoints(job.id)}
    return Listing(items=[checkpoint_view(rows[number], pointers) for number in sorted(rows, reverse=True)])


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


def history(unit: Unit, job_id: str, after: int) -> History:
    """The recorded epochs after number `after`, in order."""
    job = unit.find_job(job_id)
    query = select(Epoch).where(Epoch.job_id == job.id, Epoch.epoch > after)
    rows = unit.session.scalars(query.order_by(Epoch.epoch))
    return History(items=[epoch_rows.shown(row) for row in rows])


def artifact_views(unit: Unit, job_id: str) -> Listing[ArtifactView]:
    """The artifacts of a job, by name."""
    job = unit.find_job(job_id)
    rows = unit.session.scalars(select(Artifact).where(Artifact.job_id == job.id).order_by(Artifact.name))
    return Listing(items=[artifact_view(row) for row in rows])


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
