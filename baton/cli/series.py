"""`baton series`: metrics by step, as tables or as CSV."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.table import Table

from baton.cli.app import Job, Json, app, connect, console, say
from baton.cli.render import as_json, table
from baton.cli.times import stamp
from baton.client.find_job import find_job
from baton.domain.metric_names import is_system
from baton.domain.series import SeriesView

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Names of series; left out: all.")]
Points = Annotated[int, typer.Option(metavar="N", min=2, max=100_000, help="About so many points of a named series.")]
NONE_YET = "the job has no series yet: its worker sends the first system metrics after 30 s"


@app.command()
def series(
    job: Job,
    names: Names = None,
    points: Points = 20,
    csv: Annotated[bool, typer.Option("--csv", help="All points as CSV.")] = False,
    json: Json = False,
) -> None:
    """Show metrics by step: a list of all series, or points of those that are named."""
    wanted = names or []
    with connect() as client:
        found = find_job(client, job).id
        if csv:
            for part in client.series_csv(found, *wanted):
                sys.stdout.write(part)
            return
        shown = client.series(found, *wanted, points=points)
    if json:
        print(as_json(shown))
    elif not shown:
        say(NONE_YET)
    else:
        console().print(*(map(points_table, shown) if wanted else [series_table(shown)]))


def series_table(series: Sequence[SeriesView]) -> Table:
    """The series of a job. A system metric has times and no steps."""
    made = table("name", "points", "last step", "last", "least", "greatest", right=("points", "last step"), wrap="name")
    made.columns[0].overflow = "fold"
    for one in series:
        step = "-" if is_system(one.name) else f"{one.last_step:,}"
        made.add_row(one.name, f"{one.count:,}", step, _real(one.last), _real(one.minimum), _real(one.maximum))
    return made


def points_table(series: SeriesView) -> Table:
    """The points of one series."""
    made = table("time", "step", series.name, right=("step",))
    for step, value, at in series.points:
        shown = "-" if is_system(series.name) else f"{step:,}"
        made.add_row(stamp(datetime.fromtimestamp(at, UTC)), shown, _real(value))
    return made


def _real(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"
