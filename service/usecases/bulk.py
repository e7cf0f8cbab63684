"""Actions on many jobs. Each job is changed in its own transaction, so an error in one job does not affect others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from baton.domain.bulk_views import BulkPreview, BulkView, ChosenJob, SkippedJob
from baton.domain.errors import BatonError
from service.db import audit
from service.db.engine import Database
from service.db.outage import away, busy, refused
from service.db.tables import Job
from service.db.unit_of_work import Unit
from service.errors import Conflict
from service.principal import Principal
from service.usecases import job_control
from service.usecases.deletion import order_deletion
from service.usecases.job_changes import change
from service.usecases.job_filters import Status
from service.usecases.job_selection import COUNTED, Found, Selection, counted, selected
from service.usecases.programs import check_start
from service.usecases.retry import retry

log = logging.getLogger(__name__)
MOST = 200
"""The most jobs of one call. The next call continues after them."""

PREVIEWED, REASONS = 10, 100
LABEL = "label"
Labels = Mapping[str, str | None]
ENDED: tuple[Status, ...] = ("succeeded", "failed", "cancelled")
STOPPABLE: tuple[Status, ...] = ("queued", "running", "recovering")


@dataclass(frozen=True)
class Action:
    """An action on a job. `kind`: the kind of its audit entries.

    `act`: a function of the unit, the job id and the actor. It raises a BatonError if the state of the job does not
    allow the action. `statuses`: those that allow the action. A selection without statuses selects these. Empty: all.
    `starts`: whether the action lets the job run again. For a program this needs the scope `programs`. `spares`:
    whether the action leaves out protected jobs that were chosen by a filter and not by their ids.
    """

    act: Callable[[Unit, str, str], Job | None]
    kind: str
    statuses: tuple[Status, ...] = ()
    starts: bool = False
    spares: bool = False


ACTIONS: dict[str, Action] = {
    "cancel": Action(job_control.cancel, "job_cancel_requested", (*STOPPABLE, "pausing", "paused")),
    "pause": Action(job_control.pause, "job_pause_requested", STOPPABLE),
    "resume": Action(job_control.resume, "job_resume_requested", ("pausing", "paused"), starts=True),
    "retry": Action(retry, "job_retry_requested", ("failed", "cancelled"), starts=True),
    "delete": Action(partial(order_deletion, force=False), "job_delete_requested", ENDED, spares=True),
}
NAMES = (*ACTIONS, LABEL)


def action(name: str, labels: Labels) -> Action:
    """The action with this name. `labels`: what the action LABEL sets; it removes a label whose value is None."""
    if name != LABEL:
        return ACTIONS[name]
    return Action(partial(_label, labels=labels), "job_changed")


def _label(unit: Unit, job_id: str, actor: str, *, labels: Labels) -> Job:
    return change(unit, job_id, actor, {"labels": labels}).job


def preview(database: Database, selection: Selection) -> BulkView:
    """The number of the selected jobs, and the first few of them."""
    with database.read() as session:
        unit = Unit(session)
        number, first = counted(unit, selection), selected(unit, selection, None, PREVIEWED)
    jobs = [ChosenJob(id=one.id, name=one.name, status=one.status) for one in first if one.status]
    shown = BulkPreview(number=min(number, COUNTED), more=number > COUNTED, jobs=jobs)
    return BulkView(left=shown.number, left_more=shown.more, preview=shown)


def run(
    database: Database, caller: Principal, done: Action, selection: Selection, *, cursor: str | None, expect: int | None
) -> BulkView:
    """Do the action on at most MOST of the selected jobs after the cursor. A repeated call changes nothing more.

    `expect`: the number of selected jobs that a preview showed to the caller.

    Raises:
        Conflict: another number of jobs is selected now.
    """
    with database.read() as session:
        unit = Unit(session)
        if expect is not None and cursor is None and (number := counted(unit, selection)) != expect:
            shown = f"more than {COUNTED}" if number > COUNTED else number
            raise Conflict(f"{shown} jobs match now, and {expect} were expected: look at the preview again")
        jobs = selected(unit, selection, cursor, MOST)
    outcome, spare = _Outcome(), done.spares and not selection.ids
    for job in jobs:
        _isolated(database, caller, done, job, outcome, spare=spare)
    left, following = 0, jobs[-1].cursor if len(jobs) == MOST else None
    if following is not None:
        with database.read() as session:
            left = counted(Unit(session), selection, following)
    return BulkView(
        done=outcome.done,
        unchanged=outcome.unchanged,
        skipped=outcome.skipped,
        reasons=outcome.reasons,
        left=min(left, COUNTED),
        left_more=left > COUNTED,
        next_cursor=following if left else None,
    )


@dataclass
class _Outcome:
    done: int = 0
    unchanged: int = 0
    skipped: int = 0
    reasons: list[SkippedJob] = field(default_factory=list)

    def skip(self, job: Found, why: str) -> None:
        self.skipped += 1
        if len(self.reasons) < REASONS:
            self.reasons.append(SkippedJob(id=job.id, name=job.name, why=why))


def _isolated(
    database: Database, caller: Principal, done: Action, job: Found, outcome: _Outcome, *, spare: bool
) -> None:
    """Do the action on one job. Raises only if the database is unavailable."""
    try:
        changed = _one(database, caller, done, job, spare=spare)
    except BatonError as error:
        outcome.skip(job, str(error))
    except Exception as error:
        if away(error) and not busy(error) and not refused(error):
            raise
        log.exception("an action on many jobs failed for job %s", job.id)
        outcome.skip(job, f"an internal error ({type(error).__name__}); the log of the service has the details")
    else:
        outcome.done += changed
        outcome.unchanged += not changed


def _one(database: Database, caller: Principal, done: Action, job: Found, *, spare: bool) -> bool:
    with database.write() as session:
        unit = Unit(session)
        locked = unit.lock_job(job.id)
        before = locked.version
        if done.starts:
            check_start(caller, locked)
        if spare and locked.protected:
            raise Conflict("it is protected: name the job itself, or end the protection first")
        after = done.act(unit, job.id, caller.name)
        changed = after is None or after.version != before or after.deleted_at is not None
        if changed:
            audit.record(unit, done.kind, caller, f"job {job.name}: action on many jobs", subject=job.id)
        return changed
