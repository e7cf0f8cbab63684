"""Commands about jobs and workers."""

from __future__ import annotations

from itertools import islice
from typing import Annotated

import typer

from baton.cli.app import DONE, JOB_FAILED, Job, Json, Sets, app, connect, console, say
from baton.cli.render import (
    as_json,
    attempts_table,
    history_csv,
    history_table,
    job_panel,
    jobs_table,
    outdated,
    refusals,
    resting,
    stages_table,
    workers_table,
)
from baton.cli.spec_files import parse_sets, read_spec
from baton.cli.watch import watch, watch_json
from baton.client.client import Client
from baton.client.find_job import find_job
from baton.domain.overrides import apply_overrides
from baton.domain.views import JobView


@app.command()
def submit(
    spec: Annotated[str, typer.Argument(metavar="SPEC.yaml|PLAN", help="A file, - for standard input, or a plan.")],
    sets: Sets = None,
    watching: Annotated[bool, typer.Option("--watch", help="Watch it until it ends.")] = False,
    json: Json = False,
) -> None:
    """Submit a job."""
    overrides = parse_sets(sets or [])
    body = read_spec(spec)
    with connect() as client:
        job = client.submit_plan(spec, overrides) if body is None else client.submit(apply_overrides(body, overrides))
        _show_submitted(job, json)
        if watching:
            _watch_to_end(client, job, json)


def _show_submitted(job: JobView, json: bool) -> None:
    if json:
        print(as_json(job))
        return
    console().print(f"submitted {job.name} as {job.id}; see it with: baton watch {job.id}", soft_wrap=True)


@app.command(name="list")
def list_jobs(
    status: Annotated[str | None, typer.Option(help="Only jobs with this status.")] = None,
    label: Annotated[str | None, typer.Option(metavar="KEY:VALUE", help="Only jobs with this label.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number of jobs; the newest are shown.")] = 50,
    json: Json = False,
) -> None:
    """List jobs, newest first."""
    with connect() as client:
        jobs = list(islice(client.all_jobs(status=status, label=label), limit))
    if json:
        print(as_json(jobs))
    elif jobs:
        console().print(jobs_table(jobs))
    else:
        say("no jobs" + (f" that are {status}" if status else " yet: try `baton submit digits-demo --watch`"))


@app.command(name="status")
def show_status(job: Job, json: Json = False) -> None:
    """Show a job, its stages and its attempts."""
    with connect() as client:
        found = find_job(client, job)
        if json:
            print(as_json(found))
            return
        stages, attempts = client.stages(found.id), client.attempts(found.id)
    console().print(job_panel(found), stages_table(stages), attempts_table(attempts))


@app.command(name="watch")
def watch_job(job: Job, json: Json = False) -> None:
    """Watch a job until it ends. Exit status 0: it succeeded; 1: it failed or was cancelled."""
    with connect() as client:
        _watch_to_end(client, find_job(client, job), json)


def _watch_to_end(client: Client, job: JobView, json: bool) -> None:
    try:
        ended = watch_json(client, job.id) if json else watch(client, job.id, console())
    except KeyboardInterrupt:
        say(f"\nthe job continues; watch it again with: baton watch {job.id}")
        raise
    raise typer.Exit(DONE if ended.status == "succeeded" else JOB_FAILED)


def _steer(job: str, action: str, json: bool) -> None:
    with connect() as client:
        found = find_job(client, job)
        asked: JobView = getattr(client, action)(found.id)
    print(as_json(asked) if json else f"{asked.name} ({asked.id}) is {asked.status}")


@app.command()
def workers(json: Json = False) -> None:
    """List the workers that were seen in the last 24 hours."""
    with connect() as client:
        seen = client.workers()
    if json:
        print(as_json(seen))
    elif seen:
        console().print(workers_table(seen))
        for line in (*refusals(seen), *resting(seen), *outdated(seen)):
            console().print(line, soft_wrap=True, markup=False, highlight=False)
    else:
        say("no worker was seen in the last 24 hours: start one with `baton worker`")


@app.command()
def pause(job: Job, json: Json = False) -> None:
    """Pause a job: it saves its state and releases its worker."""
    _steer(job, "pause", json)


@app.command()
def resume(job: Job, json: Json = False) -> None:
    """Continue a paused job."""
    _steer(job, "resume", json)


@app.command()
def cancel(job: Job, json: Json = False) -> None:
    """Cancel a job permanently."""
    _steer(job, "cancel", json)


@app.command()
def history(
    job: Job, csv: Annotated[bool, typer.Option("--csv", help="All columns as CSV.")] = False, json: Json = False
) -> None:
    """Show one row for each finished epoch."""
    with connect() as client:
        rows = client.history(find_job(client, job).id)
    if json:
        print(as_json(rows))
    elif csv:
        print(history_csv(rows), end="")
    else:
        console().print(history_table(rows))
