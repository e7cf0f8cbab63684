"""Commands that delete jobs, and what retention deletes."""

from __future__ import annotations

from typing import Annotated

import typer

from baton.cli.app import USAGE, Json, app, connect, console, fail, say
from baton.cli.render import as_json, table
from baton.cli.steering import Every, Jobs, Labels, Name, Statuses, Which, Yes, steer
from baton.client.find_job import find_job
from baton.system.caches import megabytes


@app.command()
def delete(
    jobs: Jobs = None,
    force: Annotated[bool, typer.Option("--force", help="Cancel jobs that have not ended, and delete them.")] = False,
    label: Labels = None,
    status: Statuses = None,
    name: Name = None,
    every: Every = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Delete ended jobs with their checkpoints, files, logs, history and events."""
    which = Which(jobs, label, status, name, every)
    if which.by_filter:
        if force:
            fail(
                "--force needs names of jobs: to delete jobs by options, cancel them first with the same options", USAGE
            )
        steer("delete", which, yes=yes, json=json)
    else:
        which.check()
        _delete(jobs or [], force=force, json=json)


def _delete(jobs: list[str], *, force: bool, json: bool) -> None:
    with connect() as client:
        found = {job.id: job for job in [find_job(client, one) for one in jobs]}
        for job in found.values():
            client.delete(job.id, force=force)
            if not json:
                print(f"{job.name} ({job.id}) is deleted")
    if json:
        print(as_json(list(found.values())))


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be deleted.")] = False,
    json: Json = False,
) -> None:
    """Delete what is older than the service's settings BATON_RETENTION_* allow. Needs the scope admin."""
    with connect() as client:
        found = client.prune(dry_run=dry_run)
    if json:
        print(as_json(found))
        return
    columns = ("kind", "due", "bytes") if found.dry_run else ("kind", "due", "bytes", "left")
    made = table(*columns, right=columns[1:])
    for one in found.items:
        size = "" if one.bytes is None else megabytes(one.bytes)
        row = (one.kind, f"{one.number:,}{' or more' if one.more else ''}", size, f"{one.left:,}")
        made.add_row(*row[: len(columns)])
    console().print(made)
    if not dry_run and any(one.left for one in found.items):
        say("the service deletes the rest within an hour; to delete more now, run the command again")
