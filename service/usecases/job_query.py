"""What a job list shows: its conditions and its sort."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from service.db.tables import Job
from service.usecases.job_conditions import (
    AnyStatus,
    Between,
    Condition,
    Equal,
    IdPrefix,
    Label,
    MetricBound,
    NamePrefix,
)
from service.usecases.job_filters import Status
from service.usecases.paging import Place, Sort

CREATED, ENDED, NAME, STATUS, METRIC = "created", "ended", "name", "status", "metric:"
KEYS = (CREATED, ENDED, NAME, STATUS)
NEWEST = Sort(CREATED, descending=True)


@dataclass(frozen=True)
class JobQuery:
    """A job list: the jobs that match all of the conditions. Times without a bound, names and so on are None.

    `statuses`: any of them. `labels`: all of them, as `key:value`. `name`: with `*` at the end, the beginning of the
    name. `id`: the beginning of the id. `metrics`: see service.usecases.job_metrics for their names.
    """

    statuses: tuple[Status, ...] = ()
    labels: tuple[str, ...] = ()
    name: str | None = None
    id: str | None = None
    queue: str | None = None
    owner: str | None = None
    project: str | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    ended_after: datetime | None = None
    ended_before: datetime | None = None
    metrics: tuple[MetricBound, ...] = ()
    sort: Sort = NEWEST

    @property
    def place(self) -> Place:
        """What the cursors of this list belong to."""
        return Place("jobs", self.sort, {name: value for name, value in asdict(self).items() if name != "sort"})

    @property
    def created(self) -> Between | None:
        """The bounds of the time of submission."""
        return _between(Job.created_at, self.created_after, self.created_before)

    def conditions(self) -> Iterator[Condition]:
        """All conditions. Those with an order (job_conditions.Ordered) come first, and of them the rarest kind."""
        yield from (Label(*label.split(":", 1)) for label in dict.fromkeys(self.labels))
        if self.name is not None and not self.name.endswith("*"):
            yield Equal(Job.name, self.name)
        if self.queue is not None:
            yield Equal(Job.queue, self.queue)
        if self.owner is not None:
            yield Equal(Job.owner, self.owner)
        if self.project is not None:
            yield Equal(Job.project, self.project)
        if self.statuses:
            yield AnyStatus(tuple(dict.fromkeys(self.statuses)))
        if self.id is not None:
            yield IdPrefix(self.id)
        if self.name is not None and self.name.endswith("*"):
            yield NamePrefix(self.name[:-1])
        if self.created is not None:
            yield self.created
        if (ended := _between(Job.finished_at, self.ended_after, self.ended_before)) is not None:
            yield ended
        yield from self.metrics


def _between(column: Any, after: datetime | None, before: datetime | None) -> Between | None:
    return None if after is None and before is None else Between(column, after, before)
