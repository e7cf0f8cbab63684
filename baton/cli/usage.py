"""`baton usage` and `baton queue`: what was used and what it cost, and who is next."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from baton.cli.app import Json, app, connect, console, say
from baton.cli.render import as_json, table
from baton.cli.times import ago
from baton.domain.prices import rounded
from baton.domain.usage import UsageBy
from baton.domain.usage_views import UsageItem, UsageView, WaitingView

BAR = 16


@app.command()
def usage(
    by: Annotated[UsageBy, typer.Option(help="What to add up.")] = UsageBy.PROJECT,
    since: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DAY", help="First day, in UTC.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], metavar="DAY", help="Last day, in UTC; left out: today.")
    ] = None,
    project: Annotated[str | None, typer.Option(metavar="NAME", help="Only this project.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of lines.")] = 100,
    json: Json = False,
) -> None:
    """Show hours and costs by project, owner, job, device, month or day: of 30 days, by month of 12 months."""
    first, last = (None if day is None else day.date() for day in (since, until))
    with connect() as client:
        found = client.usage(by.value, since=first, until=last, project=project, limit=limit)
    if json:
        print(as_json(found))
    elif not found.items:
        say(f"nothing was used from {found.since} to {found.until}")
    else:
        console().print(usage_table(found))
        more = f"; {found.left_out} more are in the total" if found.left_out else ""
        say(f"from {found.since} to {found.until}, in UTC{more}")


@app.command()
def queue(
    queue: Annotated[str | None, typer.Option("--queue", metavar="NAME", help="Only jobs of this queue.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of jobs.")] = 50,
    json: Json = False,
) -> None:
    """List waiting jobs in the order in which workers get them, and why they wait."""
    with connect() as client:
        found = client.waiting(queue=queue, limit=limit)
    if json:
        print(as_json(found))
    elif not found.items:
        say("no job waits")
    else:
        console().print(waiting_table(found.items))
        if found.more:
            say("there are more: see them with --limit")


def usage_table(found: UsageView) -> Table:
    """The table of `baton usage`, with a line for the total. Amounts are rounded to the cent."""
    cost = ["cost" if found.currency is None else found.currency] if found.total.cost is not None else []
    columns = (found.by, "hours", "GPU hours", "trained", "redone", *cost)
    made = table(*columns, "", right=columns[1:], wrap=found.by)
    greatest = max(map(_size, found.items), default=0.0)
    for item in found.items:
        made.add_row(*_cells(item, item.name or item.key or "(unknown)", priced=bool(cost)), _bar(item, greatest))
    made.add_section()
    made.add_row(*_cells(found.total, "total", priced=bool(cost)), "")
    return made


def _cells(item: UsageItem, name: str, *, priced: bool) -> Iterable[str]:
    yield name
    yield f"{item.hours:,.1f}"
    yield f"{item.gpu_hours:,.1f}"
    for part in (item.trained_hours, item.redone_hours):
        yield f"{part / item.hours:.0%}" if item.hours else "-"
    if priced:
        yield "-" if item.cost is None else rounded(item.cost)


def _size(item: UsageItem) -> float:
    return item.hours if item.cost is None else float(item.cost)


def _bar(item: UsageItem, greatest: float) -> Text:
    filled = round(BAR * _size(item) / greatest) if greatest else 0
    return Text("█" * filled, style="cyan")


def waiting_table(items: list[WaitingView]) -> Table:
    """The table of `baton queue`. The projects are left out if all jobs are of one."""
    projects = ["project"] if len({one.project for one in items}) > 1 else []
    made = table("#", "id", "name", *projects, "priority", "since", "waits for", right=("#", "since"), wrap="waits for")
    now = datetime.now(UTC)
    for one in items:
        recent = "" if one.recent_hours is None else f", {one.recent_hours:g} h"
        project = [f"{one.project}{recent}"] if projects else []
        priority = f"{one.priority}, again" if one.ran_before else str(one.priority)
        row = (str(one.position), one.job_id[:8], one.job_name, *project, priority, ago(one.since, now))
        made.add_row(*row, one.waiting_for or "")
    return made
