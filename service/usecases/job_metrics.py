"""The metrics of jobs by name, in `job_metrics`, by which lists are filtered and sorted.

A metric of the last finished epoch has its own name, such as `val_loss`. The value at the best epoch of the monitored
metric has the name `best:val_loss`. NaN has no row, because it is neither above nor below a bound.

`jobs.metrics_listed`: None: the rows are missing, because an older release wrote the job. LISTED: they were right when
this release last wrote metrics. FINAL: they were compared after the job had ended. The reconciler looks at each ended
job once, so metrics that an older release wrote during an upgrade are added too.
"""

from __future__ import annotations

import math
import re
from typing import Any

from sqlalchemy import delete, insert, select, update

from baton.domain.lenient_reading import mapping, number_or
from baton.domain.metric_names import METRIC_NAME
from service.db.tables import Job, JobMetric
from service.db.unit_of_work import Unit

BEST = "best:"
"""The beginning of the name of a value at the best epoch. No metric's own name has a `:`."""

LISTED, FINAL = 1, 2
_NO_SYNC = {"synchronize_session": False}


def values(job: Job) -> dict[str, float]:
    """The metrics of the job by name, without NaN."""
    found = {name: number_or(value, math.nan) for name, value in mapping(job.metrics).items()}
    best = mapping(job.best)
    if isinstance(best.get("metric"), str):
        found[BEST + best["metric"]] = number_or(best.get("value"), math.nan)
    known = re.compile(f"(?:{BEST})?(?:{METRIC_NAME.strip('^$')})")
    return {name: value for name, value in found.items() if known.fullmatch(name) and not math.isnan(value)}


def follow(unit: Unit, job: Job) -> None:
    """Store the metrics of the job after they have changed. The caller holds the lock of the job's row."""
    there = dict(unit.session.execute(select(JobMetric.name, JobMetric.value).where(_of(job))).all())
    wanted = values(job)
    gone = [name for name in there if name not in wanted]
    new = [{"job_number": job.number, "name": name, "value": wanted[name]} for name in wanted if name not in there]
    if gone:
        query = delete(JobMetric).where(_of(job), JobMetric.name.in_(gone))
        unit.session.execute(query, execution_options=_NO_SYNC)
    for name, value in wanted.items():
        if there.get(name, value) != value:
            change: Any = update(JobMetric).where(_of(job), JobMetric.name == name).values(value=value)
            unit.session.execute(change, execution_options=_NO_SYNC)
    if new:
        unit.session.execute(insert(JobMetric), new)
    if job.metrics_listed is None:
        job.metrics_listed = LISTED


def catch_up(unit: Unit, job: Job) -> None:
    """Store the metrics of a job that an older release may have written. The caller holds the lock of its row."""
    follow(unit, job)
    job.metrics_listed = LISTED if job.finished_at is None else FINAL


def _of(job: Job) -> Any:
    return JobMetric.job_number == job.number
