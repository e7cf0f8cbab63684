"""The command `baton list`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Annotated

import typer

from baton.cli.app import USAGE, Json, app, connect, console, fail, say
from baton.cli.job_table import jobs_table
from baton.cli.render import as_json
from baton.cli.steering import label_filter
from baton.client.job_filters import JobFilters
from baton.domain.durations import parse_duration


def _since(text: str) -> datetime:
    """The time that `--since` names. Ends the command as bad usage for another form."""
    try:
        return datetime.now(UTC) - timedelta(seconds=parse_duration(text))
    except OverflowError:
        fail(f"--since {text}: is before the first day of the calendar", USAGE)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        fail(f"--since needs a duration, such as 12h or 7d, or a date, such as 2026-03-01; not '{text}'", USAGE)


@app.command(name="list")
def list_jobs(  # noqa: PLR0913, PLR0917  # one for each option
    name: Annotated[
        str | None, typer.Option(help="Only jobs with this name; 'resnet-*': with names that begin so.")
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="Only jobs with this status. Repeated: with any of these.")
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="Only jobs with this label. Repeated: with all of these."),
    ] = None,
    queue: Annotated[str | None, typer.Option(help="Only jobs of this queue.")] = None,
    owner: Annotated[str | None, typer.Option(help="Only jobs that this token submitted.")] = None,
    project: Annotated[str | None, typer.Option(help="Only jobs of this project.")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DURATION|DATE", help="Only jobs submitted since then: 12h, 7d, 2026-03-01.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BOUND",
            help="Only jobs whose last epoch has this: 'val_loss<0.5'; best epoch: 'best:val_loss<0.5'. Repeated: all.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="[-]KEY",
            help="created, ended, name, status or metric:NAME; with a - before it, the greatest first.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs; the first are shown.")] = 50,
    json: Json = False,
) -> None:
    """List jobs, newest first."""
    wanted = JobFilters(
        name=name,
        status=status,
        label=[label_filter(one) for one in label or ()],
        queue=queue,
        owner=owner,
        project=project,
        created_after=None if since is None else _since(since),
        metric=metric,
        sort=sort,
    )
    given = [one for key, one in wanted.items() if one and key != "sort"]
    with connect() as client:
        if json:  # with the specs, as before there were summaries
            print(as_json(list(islice(client.all_jobs(**wanted), limit))))
            return
        jobs = list(islice(client.summaries(**wanted), limit))
    if jobs:
        console().print(jobs_table(jobs))
    else:
        say("no jobs match these options" if given else "no jobs yet: try `baton submit digits-demo --watch`")
