"""Answers about what was used, and about the order of the queue."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import Field

from baton.domain.message_base import Message
from baton.domain.open_enums import ShownPriority


class UsageItem(Message):
    """What a project, owner, job, device, month or day used. Costs are amounts with six decimals, as text.

    `key`: its name, its id for a job, `2026-11` for a month; empty for an unknown owner. `name`: of a job. `hours`:
    time for which workers held jobs. `trained_hours`: the part in which they trained, validated or evaluated, and which
    was kept. `redone_hours`: training that was lost, so that it was done again. `gpu_hours`: hours times the number of
    GPUs. `unpriced_hours`: the part of `hours` on devices without a price. The costs are None if all of it is.
    """

    key: str
    name: str | None = None
    hours: float
    trained_hours: float
    redone_hours: float
    gpu_hours: float
    unpriced_hours: float
    cost: str | None
    trained_cost: str | None
    redone_cost: str | None


class UsageView(Message):
    """Usage of the days `since` to `until`, both included, in UTC. Attempts that are held now count until now.

    `items`: the most expensive first; months and days in order. `left_out`: how many more there are. `total`: of all,
    also those that are left out. `currency`: None if the service names none.
    """

    by: str
    since: date
    until: date
    currency: str | None
    items: list[UsageItem]
    left_out: int = 0
    total: UsageItem


class WaitingView(Message):
    """A job that waits for a worker. `position` counts from 1, over the jobs that the caller may see.

    `waiting_for`: why no worker trains it. `since`: when its attempt was queued. `ran_before`: an attempt of it ran, so
    it comes before jobs of its priority that never ran. `recent_hours`: device time of its project in about the last
    two days, with the attempts that it holds now: of two jobs with the same priority, that of the project with less is
    first. None if jobs of one project wait.
    """

    position: int
    job_id: str
    job_name: str
    project: str
    owner: str | None
    queue: str
    priority: ShownPriority
    attempt: int
    ran_before: bool
    since: datetime
    waiting_for: str | None = None
    recent_hours: float | None = None


class WaitingList(Message):
    """The waiting jobs in the order in which workers get them. `more`: there are others behind them."""

    items: list[WaitingView] = Field(default_factory=list)
    more: bool = False
