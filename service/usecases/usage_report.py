"""Adds up what was used: the stored days of ended attempts, and the held attempts until now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Row, case, func, literal, select

from baton.domain.prices import HOUR_US, Prices, amount
from baton.domain.usage import UsageBy
from baton.domain.usage_views import UsageItem, UsageView
from service.db.tables import Usage
from service.db.unit_of_work import Unit
from service.usecases import usage

DAYS, MONTHS = 30, 12
"""The time of a report without `since`. One by month covers whole months."""

_IN_ORDER = (UsageBy.MONTH, UsageBy.DAY)
_KEYS: dict[UsageBy, Any] = {
    UsageBy.PROJECT: Usage.project,
    UsageBy.OWNER: func.coalesce(Usage.owner, ""),
    UsageBy.JOB: Usage.job_id,
    UsageBy.DEVICE: Usage.device,
    UsageBy.MONTH: Usage.day,
    UsageBy.DAY: Usage.day,
}


@dataclass(frozen=True)
class Wanted:
    """What to report. `since`, `until`: days, both included. `project`: None: all projects. `most`: items."""

    by: UsageBy = UsageBy.PROJECT
    since: date | None = None
    until: date | None = None
    project: str | None = None
    most: int = 100


@dataclass
class Sums:
    """Sums of rows, in microseconds and millionths."""

    us: int = 0
    trained_us: int = 0
    redone_us: int = 0
    gpu_us: int = 0
    unpriced_us: int = 0
    cost: int = 0
    trained_cost: int = 0
    redone_cost: int = 0
    name: str | None = field(default=None, kw_only=True)

    def add(self, other: Sums) -> None:
        """Add other sums."""
        for one in fields(Sums)[:-1]:
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))
        self.name = other.name or self.name


_SUMS: tuple[ColumnElement[Any], ...] = (
    func.sum(Usage.us),
    func.sum(Usage.trained_us),
    func.sum(Usage.redone_us),
    func.sum(Usage.us * Usage.gpus),
    func.sum(case((Usage.cost.is_(None), Usage.us), else_=0)),
    func.coalesce(func.sum(Usage.cost), 0),
    func.coalesce(func.sum(Usage.trained_cost), 0),
    func.coalesce(func.sum(Usage.redone_cost), 0),
    func.max(Usage.job_name),
)


def report(unit: Unit, wanted: Wanted, prices: Prices) -> UsageView:
    """The report. The costs are left out if the service has no prices and nothing had a cost."""
    since, until = _range(unit, wanted)
    stored = [Usage.day >= since, Usage.day <= until]
    if wanted.project is not None:
        stored.append(Usage.project == wanted.project)
    held = [row for row in usage.live(unit, wanted.project, unit.now()) if since <= row.day <= until]
    groups, number = _groups(unit, wanted, stored, held)
    total = _total(unit, stored, held)
    priced = bool(prices) or total.cost > 0
    shown = _sorted(groups, wanted)[: wanted.most]
    return UsageView(
        by=wanted.by.value,
        since=since,
        until=until,
        currency=prices.currency,
        items=[_item(key, sums, wanted.by, priced=priced) for key, sums in shown],
        left_out=number - len(shown),
        total=_item("", total, None, priced=priced),
    )


def _range(unit: Unit, wanted: Wanted) -> tuple[date, date]:
    until = wanted.until or unit.now().date()
    if wanted.since is not None:
        return wanted.since, until
    if wanted.by is not UsageBy.MONTH:
        return until - timedelta(days=DAYS - 1), until
    months = 12 * until.year + until.month - MONTHS
    return date(months // 12, months % 12 + 1, 1), until


def _groups(
    unit: Unit, wanted: Wanted, stored: list[ColumnElement[bool]], held: Iterable[Usage]
) -> tuple[dict[str, Sums], int]:
    """The greatest groups, and the number of all."""
    key, found = _KEYS[wanted.by], dict[str, Sums]()
    query = select(key, *_SUMS).where(*stored).group_by(key)
    if wanted.by in _IN_ORDER:
        for row in unit.session.execute(query):
            found.setdefault(_named(row[0], wanted.by), Sums()).add(_sums(row))
        _add_held(found, wanted.by, held)
        return found, len(found)
    largest = query.order_by(func.coalesce(func.sum(Usage.cost), 0).desc(), func.sum(Usage.us).desc(), key)
    live: dict[str, Sums] = {}
    _add_held(live, wanted.by, held)
    for rows in (unit.session.execute(largest.limit(wanted.most)), unit.session.execute(query.where(key.in_([*live])))):
        found |= {row[0]: _sums(row) for row in rows}
    known = unit.session.scalar(select(func.count(key.distinct())).where(*stored)) or 0
    new = sum(one not in found for one in live)
    for one, sums in live.items():
        found.setdefault(one, Sums()).add(sums)
    return found, known + new


def _add_held(found: dict[str, Sums], by: UsageBy, held: Iterable[Usage]) -> None:
    for row in held:
        found.setdefault(_key_of(row, by), Sums()).add(_of_row(row))


def _key_of(row: Usage, by: UsageBy) -> str:
    if by in _IN_ORDER:
        return _named(row.day, by)
    values = {UsageBy.PROJECT: row.project, UsageBy.OWNER: row.owner or "", UsageBy.JOB: row.job_id}
    return values.get(by, row.device)


def _named(day: date, by: UsageBy) -> str:
    return f"{day:%Y-%m}" if by is UsageBy.MONTH else f"{day:%Y-%m-%d}"


def _total(unit: Unit, stored: list[ColumnElement[bool]], held: Iterable[Usage]) -> Sums:
    found = _sums(unit.session.execute(select(literal(""), *_SUMS).where(*stored)).one())
    for row in held:
        found.add(_of_row(row))
    return found


def _sums(row: Row[Any]) -> Sums:
    # PostgreSQL returns sums of BIGINT as decimals.
    _, *numbers, name = tuple[Any, ...](row)
    return Sums(*(int(number or 0) for number in numbers), name=name)


def _of_row(row: Usage) -> Sums:
    unpriced = row.us if row.cost is None else 0
    costs = (row.cost or 0, row.trained_cost or 0, row.redone_cost or 0)
    return Sums(row.us, row.trained_us, row.redone_us, row.us * row.gpus, unpriced, *costs, name=row.job_name)


def _sorted(groups: dict[str, Sums], wanted: Wanted) -> list[tuple[str, Sums]]:
    if wanted.by in _IN_ORDER:
        return sorted(groups.items())
    return sorted(groups.items(), key=lambda item: (-item[1].cost, -item[1].us, item[0]))


def _item(key: str, sums: Sums, by: UsageBy | None, *, priced: bool) -> UsageItem:
    costs = (sums.cost, sums.trained_cost, sums.redone_cost) if priced and sums.unpriced_us < sums.us else None
    cost, trained, redone = map(amount, costs) if costs else (None, None, None)
    return UsageItem(
        key=key,
        name=sums.name if by is UsageBy.JOB else None,
        hours=_hours(sums.us),
        trained_hours=_hours(sums.trained_us),
        redone_hours=_hours(sums.redone_us),
        gpu_hours=_hours(sums.gpu_us),
        unpriced_hours=_hours(sums.unpriced_us),
        cost=cost,
        trained_cost=trained,
        redone_cost=redone,
    )


def _hours(us: int) -> float:
    return round(us / HOUR_US, 6)
