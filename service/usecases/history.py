"""The training history, one row per epoch, and the stage states that are derived from it."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import CursorResult, delete, func, select

from baton.domain.epochs import EpochRollback
from baton.domain.errors import FieldError
from baton.domain.extensions import PROGRAMS
from baton.domain.lenient_reading import names
from baton.domain.program_limits import too_many_epochs
from baton.domain.states import StageEvent, StageState, next_stage_state
from baton.domain.wire import ClassifierRow, EpochRecord, EpochRow
from service.db.tables import Epoch, Job, Stage
from service.db.unit_of_work import Unit, actor_of, plain
from service.errors import BadMessage
from service.usecases import epoch_rows, job_metrics

_REQUIRED = tuple(name for name, field in ClassifierRow.model_fields.items() if field.is_required())
_NO_SYNC = {"synchronize_session": False}


def record(unit: Unit, attempt_id: str, message: EpochRecord) -> EpochRow:
    """Record a finished epoch. A repeated call replaces the row of this epoch. Raises LeaseLost, BadMessage.

    `finished_at` is the database's time at the first record, independent of the worker's clock.
    """
    job, attempt = unit.held(attempt_id, message.fence)
    actor = actor_of(attempt)
    stage = _stage(unit, job, message.row)
    before = unit.session.get(Epoch, (job.id, message.row.epoch))
    at = before.finished_at if before is not None and before.fence == message.fence else unit.now()
    row = message.row.model_copy(update={"finished_at": at})
    sent = plain(message)
    unit.session.merge(epoch_rows.stored(job.id, message.fence, row, sent["row"]["metrics"]))
    unit.session.flush()
    newest = unit.session.scalar(select(func.max(Epoch.epoch)).where(Epoch.job_id == job.id)) or 0
    if row.epoch >= newest:  # a late or repeated row may have a lower number
        job.metrics = _metrics_of_job(sent["row"])
    job.best = sent["best"] or job.best
    job_metrics.follow(unit, job)
    text = f"epoch {row.epoch} recorded"
    data = {"epoch": row.epoch, "stage": row.stage, "global_step": row.global_step, "fence": message.fence}
    unit.event(job, "epoch", actor, text, attempt=attempt.number, **data)
    if stage is not None:
        follow_stages(unit, job, stage, message.stage_finished, actor)
    return row


def roll_back(unit: Unit, attempt_id: str, message: EpochRollback) -> None:
    """Delete the rows after an epoch, and show the metrics and the best epoch of the rows that stay. Raises LeaseLost.

    An attempt calls it when it has restored its state: rows of a lost attempt would stay if the job ends earlier now.
    """
    job, attempt = unit.held(attempt_id, message.fence)
    later = delete(Epoch).where(Epoch.job_id == job.id, Epoch.epoch > message.after_epoch)
    deleted = cast("CursorResult[Any]", unit.session.execute(later, execution_options=_NO_SYNC)).rowcount
    if not deleted:
        return
    newest = select(Epoch).where(Epoch.job_id == job.id).order_by(Epoch.epoch.desc()).limit(1)
    row = unit.session.scalar(newest)
    job.metrics = {} if row is None else _metrics_of_job(plain(epoch_rows.shown(row)))
    job.best = plain(message)["best"]
    job_metrics.follow(unit, job)
    text = f"{deleted} rows of the history after epoch {message.after_epoch} deleted: the attempt continues before them"
    data = {"after_epoch": message.after_epoch, "rows": deleted, "fence": message.fence}
    unit.event(job, "rows_deleted", actor_of(attempt), text, attempt=attempt.number, **data)


def _metrics_of_job(row: dict[str, Any]) -> dict[str, Any]:
    """The metrics that the job shows, from a row as JSON data."""
    metrics: dict[str, Any] = row["metrics"]
    rate = row["learning_rate"]
    return metrics if rate is None else {**metrics, "learning_rate": rate}


def _stage(unit: Unit, job: Job, row: EpochRow) -> Stage | None:
    """The stage of the row. None for a program, which has no stages. Raises BadMessage."""
    stage = unit.session.get(Stage, (job.id, row.stage))
    if stage is None:
        if PROGRAMS not in names(job.needs):
            raise BadMessage([FieldError("row.stage", f"the job has no stage {row.stage}")])
        if (row.stage, row.stage_epoch) != (1, row.epoch):
            raise BadMessage([FieldError("row.stage_epoch", "must equal `epoch`, in stage 1: the job is a program")])
        if problem := too_many_epochs(row.epoch):
            raise BadMessage([FieldError("row.epoch", problem)])
        return None
    if missing := [FieldError(f"row.{name}", "is required") for name in _REQUIRED if getattr(row, name) is None]:
        raise BadMessage(missing)
    if row.stage_epoch > stage.epochs:
        raise BadMessage([FieldError("row.stage_epoch", f"stage {stage.stage} has {stage.epochs} epochs")])
    return stage


def follow_stages(unit: Unit, job: Job, stage: Stage, finished: bool, actor: str) -> None:
    """Update the stages from the recorded epochs. Idempotent: a repeated epoch changes nothing."""
    earlier = select(Stage).where(Stage.job_id == job.id, Stage.stage < stage.stage).order_by(Stage.stage)
    for before in unit.session.scalars(earlier):
        _finish(unit, job, before, actor)
    _start(unit, job, stage, actor)
    if finished or epochs_done(unit, job.id).get(stage.stage, 0) >= stage.epochs:
        _finish(unit, job, stage, actor)


def epochs_done(unit: Unit, job_id: str) -> dict[int, int]:
    """Number of recorded epochs by stage. Stages without epochs are left out."""
    query = select(Epoch.stage, func.count()).where(Epoch.job_id == job_id).group_by(Epoch.stage)
    return dict(unit.session.execute(query).all())


def finish_all(unit: Unit, job: Job, actor: str) -> None:
    """Finish all stages of a job that succeeded."""
    for stage in unit.session.scalars(select(Stage).where(Stage.job_id == job.id).order_by(Stage.stage)):
        _finish(unit, job, stage, actor)


def start_stage(unit: Unit, job: Job, stage_number: int, actor: str) -> None:
    """Start a stage (counted from 1) when its first training progress is reported, before any epoch is recorded."""
    stage = unit.session.get(Stage, (job.id, stage_number))
    if stage is not None:
        _start(unit, job, stage, actor)


def _start(unit: Unit, job: Job, stage: Stage, actor: str) -> None:
    if stage.state == StageState.WAITING:
        stage.state = next_stage_state(StageState.WAITING, StageEvent.STARTED).value
        stage.started_at = unit.now()
        unit.event(job, "stage_started", actor, f"stage {stage.stage} ({stage.name}) started", stage=stage.stage)


def _finish(unit: Unit, job: Job, stage: Stage, actor: str) -> None:
    _start(unit, job, stage, actor)
    if stage.state == StageState.ACTIVE:
        stage.state = next_stage_state(StageState.ACTIVE, StageEvent.FINISHED).value
        stage.finished_at = unit.now()
        unit.event(job, "stage_finished", actor, f"stage {stage.stage} ({stage.name}) finished", stage=stage.stage)
