"""Commands about jobs and workers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from baton.cli.app import DONE, JOB_FAILED, USAGE, Job, Json, Sets, app, connect, console, fail, say
from baton.cli.history_table import history_csv, history_table, left_out, metric_names
from baton.cli.program_spec import ProgramOptions, with_code, with_options
from baton.cli.render import (
    as_json,
    attempts_table,
    job_panel,
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

Name = Annotated[str | None, typer.Option(help="Name of the new job; left out: as in the spec.")]


@app.command()
def submit(  # noqa: PLR0913, PLR0917  # one for each option
    spec: Annotated[
        str | None, typer.Argument(metavar="SPEC.yaml|PLAN", help="A file, - for standard input, or a plan.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="JOB[@latest|@best|@STEP]", help="Start from a checkpoint of this job, with its spec."
        ),
    ] = None,
    program: Annotated[
        str | None, typer.Option(metavar="COMMAND", help="Run a program of your own, e.g. 'python train.py'.")
    ] = None,
    code: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Send this folder as the program's code; honours .gitignore.")
    ] = None,
    params: Annotated[
        str | None, typer.Option(metavar="FILE|JSON", help="Parameters that the program reads as run.params.")
    ] = None,
    monitor: Annotated[
        str | None, typer.Option(metavar="METRIC:min|max", help="The metric that tells the program's best checkpoint.")
    ] = None,
    data: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DATA", help="Pushed data that the program reads as NAME.")
    ] = None,
    sets: Sets = None,
    name: Name = None,
    watching: Annotated[bool, typer.Option("--watch", help="Watch it until it ends.")] = False,
    json: Json = False,
) -> None:
    """Submit a job: a spec, a plan, a program of your own, or from a checkpoint of another job."""
    options = ProgramOptions(program, code, params, monitor, data or ())
    if (spec is not None or program is not None) == (start is not None):
        fail("submit needs a spec, a plan, --program COMMAND, or --from JOB, and not two of them", USAGE)
    overrides = parse_sets(sets or [])
    with connect() as client:
        if start is not None:
            if options:
                fail("--from takes the program of the other job: change fields with --set", USAGE)
            job = _start(client, start, overrides, name)
        else:
            job = _submit(client, spec, overrides if name is None else {**overrides, "name": name}, options)
        _show_submitted(job, json)
        if watching:
            _watch_to_end(client, job, json)


def _submit(client: Client, spec: str | None, overrides: dict[str, object], options: ProgramOptions) -> JobView:
    body = {} if spec is None else read_spec(spec)
    if body is None:
        if options:
            fail(f"{spec} is the name of a plan: --program, --code and their options need a spec's file or none", USAGE)
        return client.submit_plan(spec or "", overrides)
    made = apply_overrides(with_options(body, options) if options else body, overrides)
    return client.submit(made if options.code is None else with_code(client, made, options.code))


def _start(client: Client, start: str, overrides: dict[str, object], name: str | None) -> JobView:
    job, _, point = start.partition("@")
    checkpoint = int(point) if point.isdecimal() else point or "latest"
    if isinstance(checkpoint, str) and checkpoint not in ("latest", "best"):
        fail(f"--from {start}: after @ comes latest, best, or the step of a checkpoint", USAGE)
    return client.submit_from(find_job(client, job).id, checkpoint, overrides, name=name)


@app.command()
def clone(job: Job, sets: Sets = None, name: Name = None, json: Json = False) -> None:
    """Submit the spec of a job again, with changes."""
    overrides = parse_sets(sets or [])
    with connect() as client:
        _show_submitted(client.submit_clone(find_job(client, job).id, overrides, name=name), json)


def _show_submitted(job: JobView, json: bool) -> None:
    if json:
        print(as_json(job))
        return
    console().print(f"submitted {job.name} as {job.id}; see it with: baton watch {job.id}", soft_wrap=True)


@app.command(name="status")
def show_status(job: Job, json: Json = False) -> None:
    """Show a job, its stages and its attempts. A program has no stages."""
    with connect() as client:
        found = find_job(client, job)
        if json:
            print(as_json(found))
            return
        stages, attempts = client.stages(found.id), client.attempts(found.id)
    parts = (job_panel(found), *([stages_table(stages)] if stages else []), attempts_table(attempts))
    console().print(*parts)


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
def history(
    job: Job,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", metavar="NAME", help="A metric to show; can be repeated.")
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="All columns as CSV.")] = False,
    json: Json = False,
) -> None:
    """Show one row for each finished epoch."""
    with connect() as client:
        rows = client.history(find_job(client, job).id)
    if json:
        print(as_json(rows))
    elif csv:
        print(history_csv(rows), end="")
    else:
        known = metric_names(rows)
        if unknown := [name for name in metric or () if name not in known]:
            fail(
                f"--metric {unknown[0]}: the history has no such metric; it has {', '.join(known) or 'none yet'}", USAGE
            )
        console().print(history_table(rows, metric or ()))
        if not metric and (others := left_out(rows)):
            say(f"{others} more metric{'s' if others > 1 else ''}: show them with --metric NAME, or all with --csv")
