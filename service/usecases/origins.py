"""Submissions that name another job: `clone` takes its spec, `from` takes its spec and one of its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from baton.domain.errors import FieldError, SpecError
from baton.domain.lenient_reading import find_stored, mapping
from baton.domain.lineage import JobSource, SourceCheckpoint
from baton.domain.message_base import Position
from baton.domain.overrides import apply_overrides
from baton.domain.protocol_versions import STARTS_FROM_ANOTHER_JOB
from baton.domain.spec import AnySpec, JobSpec, ProgramJobSpec, parse_spec
from baton.domain.start_from import Start, changed, check_left, check_network, keeps_schedule
from baton.domain.states import CheckpointState
from baton.domain.wire import CheckpointRole
from service.db.base import IS_PAST
from service.db.tables import Checkpoint, Job
from service.db.unit_of_work import Unit
from service.errors import NotFound
from service.usecases.checkpoint_copies import Copied
from service.usecases.checkpoints import with_needs

MOST_STEPS = 20
"""The most checkpoint steps that an error lists."""


@dataclass(frozen=True)
class Origin:
    """The job that a submission names. `checkpoint`: a role or a global step; None: only the spec is taken."""

    job: str
    checkpoint: str | int | None = None

    @property
    def field(self) -> str:
        """The field of the submission that names the job."""
        return "clone" if self.checkpoint is None else "from.job"


def project_of(unit: Unit, origin: Origin) -> str:
    """The project of the named job. Raises SpecError."""
    try:
        return unit.find_job(origin.job).project
    except NotFound as error:
        raise _refused(origin.field, str(error)) from None


def changed_spec(unit: Unit, origin: Origin, overrides: Mapping[str, object], name: str | None) -> dict[str, Any]:
    """The spec of the named job with these changes, not yet validated. Raises SpecError."""
    try:
        source = unit.find_job(origin.job)
    except NotFound as error:
        raise _refused(origin.field, str(error)) from None
    found = apply_overrides(mapping(source.spec), overrides)
    return found if name is None else {**found, "name": name}


def derive(unit: Unit, job: Job, spec: AnySpec, origin: Origin) -> list[Copied]:
    """Make a new job a clone or a continuation of the named job. The new job has no row yet. Raises SpecError.

    Returns the checkpoints to copy, oldest first. Request the copy in the same transaction: it locks the row of the
    named job, so that nothing marks these checkpoints as deleted before the request.
    """
    try:
        source = unit.lock_job(origin.job)
    except NotFound as error:
        raise _refused(origin.field, str(error)) from None
    job.source_job = source.id
    if origin.checkpoint is None:
        job.source = JobSource(kind="clone", job=source.id, name=source.name).model_dump(mode="json")
        return []
    good = unit.good_checkpoints(source.id)
    row = _chosen(unit, source, good, origin.checkpoint)
    start = _start(source, spec, row)
    role = origin.checkpoint if isinstance(origin.checkpoint, str) else None
    point = SourceCheckpoint(role=role, global_step=start.global_step)
    shown = JobSource(kind="from", job=source.id, name=source.name, checkpoint=point)
    job.source = {**shown.model_dump(mode="json"), "start": start.model_dump(mode="json")}
    job.spec_version = max(job.spec_version, STARTS_FROM_ANOTHER_JOB)
    # Object names contain the fencing token. The attempts of this job get greater tokens than the copied checkpoints,
    # so they never write an object with the name of a copy.
    job.fence = start.fence
    return _copies(good, row, start)


def _copies(good: list[Checkpoint], row: Checkpoint, start: Start) -> list[Copied]:
    if start.keeps_position:
        kept = with_needs(good, {row.prefix})
        return [Copied.of(one) for one in reversed(good) if one.prefix in kept]
    first = Position(stage=0, epoch=0, step=0, global_step=0)
    latest = [CheckpointRole.LATEST.value]
    return [Copied.of(row).model_copy(update={"position": first, "roles": latest, "needs": []})]


def start_of(job: Job) -> Start | None:
    """What the job takes from the checkpoint of another job. None: the job starts from the beginning."""
    return find_stored(Start, mapping(job.source).get("start")) if job.source_job else None


def _refused(field: str, text: str) -> SpecError:
    return SpecError([FieldError(field, text)])


def _chosen(unit: Unit, source: Job, good: list[Checkpoint], wanted: str | int) -> Checkpoint:
    if wanted == CheckpointRole.LATEST:
        found = good[0] if good else None
    elif isinstance(wanted, str):
        best = unit.pointers(source.id).get(wanted)
        found = next((row for row in good if row.id == best), None)
    else:
        found = next((row for row in good if row.global_step == wanted), None)
    if found is None:
        raise _refused("from.checkpoint", _missing(unit, source, good, wanted))
    return found


def _missing(unit: Unit, source: Job, good: list[Checkpoint], wanted: str | int) -> str:
    name = f"job {source.name} ({source.id})"
    what = f"at step {wanted}" if isinstance(wanted, int) else f"{wanted!r}"
    bad = CheckpointState.QUARANTINED.value
    past = select(Checkpoint.global_step).where(IS_PAST, Checkpoint.job_id == source.id, Checkpoint.state == bad)
    if isinstance(wanted, int) and unit.session.scalar(past.where(Checkpoint.global_step == wanted).limit(1)):
        text = f"the checkpoint of {name} at step {wanted} is quarantined: it cannot be read"
    else:
        text = f"{name} has no checkpoint {what}"
    steps = sorted({row.global_step for row in good}, reverse=True)[:MOST_STEPS]
    there = f"its checkpoints are at the steps {', '.join(map(str, steps))}" if steps else "it has no checkpoints"
    return f"{text}; {there}"


def _start(source: Job, after: AnySpec, row: Checkpoint) -> Start:
    before = parse_spec(source.spec, source.needs)
    start = Start(job=source.id, name=source.name, global_step=row.global_step, fence=row.fence, keeps_position=False)
    if isinstance(before, ProgramJobSpec) or isinstance(after, ProgramJobSpec):
        if type(before) is not type(after):
            text = "a program cannot read the checkpoint of a classifier, and a classifier not that of a program"
            raise _refused("program", f"{text}; clone the job to use only its spec")
        # Only the program knows what its changed parameters mean for the state, so it always gets the state as it is.
        return start.model_copy(update={"keeps_position": True, "keeps_schedule": True})
    return _start_of_classifier(source, before, after, row, start)


def _start_of_classifier(source: Job, before: JobSpec, after: JobSpec, row: Checkpoint, start: Start) -> Start:
    check_network(before, after)
    at = Position(stage=row.stage, epoch=row.epoch, step=row.step, global_step=row.global_step)
    # The source may have started from another job too, and this checkpoint may be a copy from that job. If the source
    # did not keep the position or the schedule of the copy, this job does not keep it either.
    own = start_of(source)
    inherited = own if own is not None and row.fence <= own.fence else None
    if inherited is not None and not inherited.keeps_position:
        return start.model_copy(update={"why": f"job {source.name} took only the weights of this checkpoint"})
    if differing := changed(before, after, at):
        return start.model_copy(update={"why": ", ".join(differing)})
    check_left(after, at)
    same = keeps_schedule(before, after, at.stage)
    rates = before.optimizer.learning_rate, after.optimizer.learning_rate
    rate = rates[1] if rates[0] != rates[1] else None
    if inherited is not None and not inherited.keeps_schedule:
        same, rate = False, inherited.learning_rate if rate is None else rate
    return start.model_copy(
        update={"keeps_position": True, "keeps_schedule": same, "learning_rate": None if same else rate}
    )
