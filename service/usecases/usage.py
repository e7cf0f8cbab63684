"""Counts what attempts use, in the transaction that ends them. The rows stay when the job is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from baton.domain.goodput import attempt_seconds
from baton.domain.prices import HOUR_US, Prices, amount, cost, gpus_of
from baton.domain.states import HELD_ATTEMPTS, LIVE_ATTEMPTS
from baton.domain.usage import held_us, parts
from service.db.base import IS_LIVE
from service.db.tables import Attempt, Job, Usage
from service.db.unit_of_work import Unit
from service.usecases import goodput, recent_use

PRICES = "prices"
"""The key of the service's prices in a session's `info`."""

NO_PRICES = Prices()


def prices_of(session: Session) -> Prices:
    """The prices of the service that this session belongs to."""
    found: Prices = session.info.get(PRICES, NO_PRICES)
    return found


def gpu_us(attempt: Attempt, now: datetime) -> int:
    """Microseconds of GPUs that the attempt has used until its end or until `now`."""
    return _us(attempt, now) * _gpus(attempt)


def spent(attempt: Attempt, now: datetime) -> int | None:
    """What the attempt has cost until its end or until `now`, in millionths. None: its device had no price."""
    return None if attempt.hourly_price is None else cost(attempt.hourly_price, _us(attempt, now))


def count(unit: Unit, job: Job, attempt: Attempt) -> None:
    """Count an attempt that has just ended. Call this once for each attempt, after all its columns are set."""
    if attempt.claimed_at is None or attempt.finished_at is None:
        return
    job.gpu_us += gpu_us(attempt, attempt.finished_at)
    job.cost += spent(attempt, attempt.finished_at) or 0
    unit.session.add_all(rows(job, attempt, attempt.finished_at))
    recent_use.add(unit, job.project, attempt.claimed_at, attempt.finished_at, max(1, _gpus(attempt)))


def divide_again(unit: Unit, job: Job) -> None:
    """Divide the time of ended attempts again, because a checkpoint with some of their training cannot be used."""
    unit.session.flush()
    counted = exists().where(Usage.attempt_id == Attempt.id)
    ended = Attempt.state.not_in([*LIVE_ATTEMPTS])
    query = select(Attempt).where(Attempt.job_id == job.id, ended, counted).options(goodput.WITHOUT_ENDING)
    for attempt in unit.session.scalars(query).all():
        unit.session.execute(delete(Usage).where(Usage.attempt_id == attempt.id))
        unit.session.add_all(rows(job, attempt, attempt.finished_at or attempt.created_at))


def live(unit: Unit, project: str | None, now: datetime) -> Iterator[Usage]:
    """What the held attempts have used until now, as rows that are not stored. `project`: None: of all projects."""
    query = select(Job, Attempt).join(Attempt, Attempt.job_id == Job.id)
    query = query.where(IS_LIVE, Attempt.state.in_([*HELD_ATTEMPTS])).options(goodput.WITHOUT_ENDING)
    for job, attempt in unit.session.execute(query):
        if project is None or job.project == project:
            yield from rows(job, attempt, now)


def rows(job: Job, attempt: Attempt, ended: datetime) -> list[Usage]:
    """The days of an attempt that was claimed."""
    seconds = attempt_seconds(goodput.span(attempt), ended)
    return [
        Usage(
            **asdict(part),
            attempt_id=attempt.id,
            job_id=job.id,
            job_name=job.name,
            attempt=attempt.number,
            project=job.project,
            owner=job.owner,
            device=attempt.device or "",
            gpus=_gpus(attempt),
            hourly_price=attempt.hourly_price,
        )
        for part in parts(attempt.claimed_at or ended, ended, seconds, attempt.hourly_price)
    ]


def of_job(job: Job, held: Attempt | None, now: datetime, prices: Prices) -> dict[str, Any]:
    """The fields of a job's view. `held`: the attempt that a worker holds."""
    us, money = job.gpu_us, job.cost
    if held is not None:
        us, money = us + gpu_us(held, now), money + (spent(held, now) or 0)
    shown = {"cost": amount(money), "currency": prices.currency} if prices or money else {}
    return {"gpu_hours": round(us / HOUR_US, 6), **shown}


def of_attempt(attempt: Attempt, now: datetime) -> dict[str, Any]:
    """The fields of an attempt's view."""
    money = None if attempt.claimed_at is None else spent(attempt, now)
    hours = round(gpu_us(attempt, now) / HOUR_US, 6)
    return {"device": attempt.device, "gpu_hours": hours, "cost": None if money is None else amount(money)}


def _us(attempt: Attempt, now: datetime) -> int:
    return 0 if attempt.claimed_at is None else held_us(attempt.claimed_at, attempt.finished_at or now)


def _gpus(attempt: Attempt) -> int:
    """The number of GPUs. The previous release does not store it at the claim."""
    return gpus_of(attempt.device or "") if attempt.gpus is None else attempt.gpus
